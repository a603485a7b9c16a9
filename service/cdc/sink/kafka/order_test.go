package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// updates returns n changes of a few rows in turn.
func updates(t *testing.T, first, n, rows int) []sink.Record {
	t.Helper()
	changes := make([]*api.Change, n)
	for i := range changes {
		id := (first + i) % rows
		changes[i] = change(first+i, api.OpUpdate, row(id, "before"), row(id, fmt.Sprintf("%d %s", first+i, strings.Repeat("x", 200))))
	}
	return encoded(t, api.FormatDebezium, changes...)
}

// produced is a fault of the n-th request to produce from now on.
func (c *cluster) produced(n int64, err *kerr.Error) *kfake.FaultHandle {
	var seen atomic.Int64
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, When: func(kmsg.Request) bool { return seen.Add(1) == n }})
}

// If a request in the middle is refused, nothing behind it is stored: what is confirmed is all there is.
func TestNothingIsStoredBehindAHole(t *testing.T) {
	t.Parallel()
	for _, refused := range []*kerr.Error{kerr.InvalidRecord, kerr.MessageTooLarge, kerr.UnknownServerError, kerr.KafkaStorageError} {
		t.Run(refused.Message, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			d := c.open(t, func(c *api.KafkaConfig) { c.MaxMessageBytes = 4 << 10 })
			deliver(t, d, updates(t, 1, 1, 7))
			records := updates(t, 2, 200, 7)
			fault := c.produced(4, refused)
			n, err := d.Deliver(t.Context(), records)
			require.Equal(t, 1, fault.Hits())
			if refused == kerr.KafkaStorageError { // which the client repeats by itself
				require.NoError(t, err)
				require.Len(t, c.records(t), 201)
				return
			}
			require.Error(t, err)
			_, rejected := errors.AsType[*sink.RejectedError](err)
			require.Equal(t, refused != kerr.UnknownServerError, rejected, "%v", err)
			require.Equal(t, refused == kerr.UnknownServerError, errs.KindOf(err) == errs.Unavailable)
			require.Positive(t, n)
			require.Less(t, n, 200)
			require.Len(t, c.records(t), 1+n)
			deliver(t, d, records[n:])
			require.Len(t, c.records(t), 200-n, "and there is nothing twice")
		})
	}
}

// In many partitions others may go on behind a failure, and come again. Each key has all its changes in order, whatever
// fails: a reader that keeps the greatest cursor of each partition misses nothing.
func TestKeysKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.DefaultNumPartitions(5))
	d := c.open(t, func(c *api.KafkaConfig) { c.MaxMessageBytes = 4 << 10 })
	failures, repeated := 0, 0
	var want []string
	for i, fail := range []*kerr.Error{
		kerr.UnknownServerError, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition,
		kerr.OutOfOrderSequenceNumber, kerr.InvalidRecord, kerr.CorruptMessage, nil,
	} {
		for partition := range int32(5) {
			records := updates(t, 1+(i*5+int(partition))*60, 60, 23)
			for _, r := range records {
				want = append(want, r.Cursor)
			}
			if fail == nil {
				c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
					return nil, errors.New("the connection is lost"), true
				})
			} else {
				c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fail, Topic: "shop", Partitions: []int32{partition}})
			}
			for len(records) > 0 {
				n, err := d.Deliver(t.Context(), records)
				records = records[n:]
				if err != nil {
					failures++
				}
			}
		}
	}
	require.Positive(t, failures)
	newest := make(map[int32]string)
	partitions := make(map[string]int32)
	stored := make(map[string]bool)
	for _, r := range c.records(t) {
		cursor, key := header(r, "wippy-cursor"), string(r.Key)
		if cursor <= newest[r.Partition] {
			require.True(t, stored[cursor], "%s of %s is behind %s", cursor, key, newest[r.Partition])
			repeated++
			continue
		}
		newest[r.Partition], stored[cursor] = cursor, true
		if in, ok := partitions[key]; ok {
			require.Equal(t, in, r.Partition)
		}
		partitions[key] = r.Partition
	}
	require.Len(t, stored, len(want))
	for _, cursor := range want {
		require.True(t, stored[cursor], cursor)
	}
	require.Positive(t, repeated)
}

// A broker that is away is told by what the connection says, and what it did not store comes when it is back.
func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.open(t)
	deliver(t, d, updates(t, 1, 10, 7))
	c.Down(t)
	for range 2 {
		n, err := d.Deliver(t.Context(), updates(t, 11, 10, 7))
		require.Zero(t, n)
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.ErrorContains(t, err, "connection refused")
	}
	c.Up(t)
	deliver(t, d, updates(t, 11, 10, 7))
	require.Len(t, c.records(t), 20)
}

// A broker that takes records and does not answer is given up, and says so.
func TestABrokerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.open(t)
	deliver(t, d, updates(t, 1, 1, 7))
	c.Hold(t)
	n, err := d.Deliver(t.Context(), updates(t, 2, 1, 7))
	require.Zero(t, n)
	require.Equal(t, errs.Timeout, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "no answer in time")
	c.Release(t)
	deliver(t, d, updates(t, 2, 1, 7))
}

// A sink that is stopped does not wait for a broker that does not answer.
func TestStoppedUnderWay(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := c.open(t)
	deliver(t, d, updates(t, 1, 1, 7))
	c.Hold(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.held.seen = cancel
	n, err := d.Deliver(ctx, updates(t, 2, 1, 7))
	require.Zero(t, n)
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	require.Error(t, err)
	c.Release(t)
	deliver(t, d, updates(t, 2, 1, 7))
}
