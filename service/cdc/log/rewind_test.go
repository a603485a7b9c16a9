package log_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// What was appended is appended again for a reader that comes back from further behind: the others have had it, or were
// opened when it had been committed.
func TestWhatIsAppendedAgainIsForThoseThatHaveNotReadIt(t *testing.T) {
	t.Parallel()
	l, w := newLog(t, 1<<20)
	reading := open(t, l, options())
	w.commit(t, insert(users, 1))
	w.commit(t, insert(users, 2))
	w.commit(t, insert(users, 3))
	record, err := reading.Next()
	require.NoError(t, err)
	require.Equal(t, uint64(1), record.Sequence)
	live := open(t, l, options())
	lines, err := read(t, reading)
	require.NoError(t, err)
	require.Len(t, lines, 2)

	l.Rewind(0)
	w.sequence = 0
	back := open(t, l, options())
	back.SkipTo(api.Position{Sequence: 1})
	for n := range int64(4) {
		w.commit(t, insert(users, n+1))
	}
	for r, want := range map[*log.Reader][]string{
		live: {"4.0 users 4 !"}, back: {"2.0 users 2 !", "3.0 users 3 !", "4.0 users 4 !"}, reading: {"4.0 users 4 !"},
	} {
		var got []string
		for {
			lines, err := read(t, r)
			require.NoError(t, err)
			if got = append(got, lines...); len(got) >= len(want) {
				break
			}
			<-r.Ready()
		}
		require.Equal(t, want, got)
	}
}
