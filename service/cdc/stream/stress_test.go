package stream_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func TestTenThousandStreamsStartAndStopUnderAWriter(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	var stop atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		for i := int64(0); !stop.Load(); i++ {
			w.commit(100, inserts(i, 3)...)
		}
	})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := range 2500 {
				s, err := streams.Open(api.StreamOptions{Buffer: 1 + i%70})
				if err != nil {
					panic(err)
				}
				for range i % 3 {
					if _, err := s.Next(t.Context()); err != nil && !errs.Is(err, errs.Unavailable) {
						panic(err)
					}
				}
				s.Close()
			}
		})
	}
	readers.Wait()
	stop.Store(true)
	work.Wait()
	require.Zero(t, streams.Admission().Active)
	require.Zero(t, streams.Held())
}

func TestTenThousandSourcesStartAndStop(t *testing.T) {
	cause := errors.New("stopped")
	for i := range 10_000 {
		streams := stream.New(settings(unit.MiB, new(engine)))
		w := &writer{streams: streams}
		var all []api.Stream
		for range i % 4 {
			s, err := streams.Open(api.StreamOptions{})
			require.NoError(t, err)
			all = append(all, s)
		}
		w.commit(10, inserts(1, 1+i%5)...)
		streams.Close(cause)
		for _, s := range all {
			require.Equal(t, cause, s.Err())
			s.Close()
		}
	}
}

func TestThousandStreamsReadTheSameLog(t *testing.T) {
	const readers, transactions, rows = 1000, 100, 3
	streams, w := newStreams(t, 64*unit.MiB)
	failures := make(chan error, readers)
	var work sync.WaitGroup
	for range readers {
		s := open(t, streams, api.StreamOptions{})
		work.Go(func() { failures <- readInOrder(t, s, transactions*rows) })
	}
	for i := range int64(transactions) {
		w.commit(100, inserts(i*rows, rows)...)
	}
	work.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}

// readInOrder reads n inserts, whose values must count from 0.
func readInOrder(t *testing.T, s api.Stream, n int) error {
	t.Helper()
	cursor := ""
	for i := range n {
		c, err := s.Next(t.Context())
		switch {
		case err != nil:
			return err
		case c.After[0].Int64() != int64(i):
			return fmt.Errorf("got %d instead of %d", c.After[0].Int64(), i)
		case c.Cursor() <= cursor:
			return fmt.Errorf("cursor %s does not follow %s", c.Cursor(), cursor)
		}
		cursor = c.Cursor()
	}
	return nil
}

func TestCloseFromManyGoroutinesWhileTheSourceCloses(t *testing.T) {
	for range 1000 {
		streams := stream.New(settings(unit.MiB, new(engine)))
		w := &writer{streams: streams}
		s, err := streams.Open(api.StreamOptions{Buffer: 1})
		require.NoError(t, err)
		w.commit(10, inserts(0, 10)...)
		var work sync.WaitGroup
		work.Go(s.Close)
		work.Go(s.Close)
		work.Go(func() { streams.Close(errors.New("stopped")) })
		work.Go(func() { w.commit(10, inserts(0, 10)...) })
		work.Wait()
		_, err = s.Next(t.Context())
		require.Error(t, err)
	}
}
