package cdctest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// limit bounds what a test waits for that must happen.
const limit = time.Minute

func (s *Subject) subscribe(t *testing.T, opts api.StreamOptions) api.Stream {
	t.Helper()
	stream, err := s.Engine.Subscribe(t.Context(), s.ID, opts)
	require.NoError(t, err)
	t.Cleanup(stream.Close)
	return stream
}

func (s *Subject) info(t *testing.T) api.SourceInfo {
	t.Helper()
	info, known := s.Engine.Source(s.ID)
	require.True(t, known)
	return info
}

func (s *Subject) stats(t *testing.T) api.Stats {
	t.Helper()
	all := s.Engine.Stats()
	require.Len(t, all, 1)
	return all[0]
}

// ended waits for the end of a stream that has nothing more to deliver, and returns why it has ended: for a reason that
// may pass.
func (s *Subject) ended(t *testing.T, stream api.Stream) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := stream.Next(ctx)
	require.Nil(t, c)
	require.NoError(t, ctx.Err(), "it does not end")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	require.Equal(t, err, stream.Err())
	return err
}

// eventually waits until f is true.
func eventually(t *testing.T, f func() bool, message string) {
	t.Helper()
	require.Eventually(t, f, limit, 10*time.Millisecond, message)
}

func take(t *testing.T, s api.Stream, n int) []*api.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	changes := make([]*api.Change, n)
	for i := range changes {
		c, err := s.Next(ctx)
		require.NoError(t, err, "change %d of %d", i, n)
		changes[i] = c
	}
	return changes
}

// column returns the value of a column in one image of a change.
func column(t *testing.T, c *api.Change, row []sqlapi.Value, name string) sqlapi.Value {
	t.Helper()
	i := slices.IndexFunc(c.Table.Columns, func(column sqlapi.Column) bool { return column.Name == name })
	require.GreaterOrEqual(t, i, 0)
	require.Len(t, row, len(c.Table.Columns))
	return row[i]
}

// brief describes changes: op table id, and a ! on the last of its transaction.
func brief(changes []*api.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		row := c.After
		if row == nil {
			row = c.Before
		}
		all[i] = fmt.Sprintf("%s %s %d", c.Op, c.Table.Name, row[0].Int64())
		if c.Last {
			all[i] += " !"
		}
	}
	return all
}
