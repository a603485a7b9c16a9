package cdc_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestProgressIsThatOfTheSlowestReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: unit.MiB})
		defer log.Close(errOver)
		w := &writer{log: log}
		_, kept := log.Append(w.make(10, inserts(0, 1)...))
		require.False(t, kept, "there is no stream")
		fast, slow := subscribe(t, log, api.StreamOptions{}), subscribe(t, log, api.StreamOptions{})
		quiet := subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		for i := range 3 {
			index, kept := log.Append(w.make(10, inserts(0, 2)...))
			require.True(t, kept)
			require.Equal(t, uint64(i), index)
		}
		synctest.Wait()
		require.Equal(t, cdc.Progress{Streams: 3, Passed: 3, Behind: true}, log.Progress(), "nobody has taken anything")
		take(t, fast, 6)
		take(t, slow, 3)
		synctest.Wait()
		require.Equal(t, cdc.Progress{Streams: 3, Passed: 3, Behind: true, Taken: 2}, log.Progress(), "half a transaction does not count")
		take(t, slow, 1)
		require.Equal(t, cdc.Progress{Streams: 3, Passed: 3, Behind: true, Taken: 3}, log.Progress())
		take(t, slow, 2)
		require.Equal(t, cdc.Progress{Streams: 3, Passed: 3}, log.Progress())

		w.commit(10, inserts(0, 1)...)
		synctest.Wait()
		fast.Close()
		quiet.Close()
		take(t, slow, 1)
		w.commit(10, inserts(0, 1)...)
		synctest.Wait()
		slow.Close()
		parting := cdc.Progress{Watch: 1, Passed: 5, Behind: true, Taken: 5}
		require.Equal(t, parting, log.Progress(), "the last one has left one to take")
		_, kept = log.AppendDuring(1, w.make(10, inserts(0, 1)...))
		require.False(t, kept, "there is no stream")
		subscribe(t, log, api.StreamOptions{}).Close()
		parting.Watch = 2
		require.Equal(t, parting, log.Progress(), "there was nothing for this one")
		subscribe(t, log, api.StreamOptions{})
		require.Equal(t, parting, log.Parting())
		_, kept = log.AppendDuring(1, w.make(10, inserts(0, 1)...))
		require.False(t, kept, "the log was left in between")
		_, kept = log.AppendDuring(2, w.make(10, inserts(0, 1)...))
		require.True(t, kept)
	})
}

func TestProgressStopsAtATransactionThatIsBeingDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: unit.MiB})
		defer log.Close(errOver)
		w := &writer{log: log}
		s := subscribe(t, log, api.StreamOptions{})
		w.commit(10, inserts(0, 1)...)
		take(t, s, 1)
		held := w.make(10, inserts(0, 1)...)
		held.gate = make(chan struct{})
		log.Append(held)
		synctest.Wait()
		require.Equal(t, cdc.Progress{Streams: 1, Passed: 1}, log.Progress())
		close(held.gate)
		take(t, s, 1)
		synctest.Wait()
		require.Equal(t, cdc.Progress{Streams: 1, Passed: 2}, log.Progress())
	})
}
