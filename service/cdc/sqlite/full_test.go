package sqlite_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// TestUnderALogLimit is the child process of TestALogThatIsFull: no file may grow beyond a limit, which the segment file comes to.
func TestUnderALogLimit(t *testing.T) {
	policy := os.Getenv("WIPPY_LOG_FULL")
	if policy == "" {
		t.Skip("run by TestALogThatIsFull")
	}
	signal.Ignore(syscall.SIGXFSZ)
	h := newHouse(t)
	c := durable()
	c.OnLogFull = policy
	h.serve(h.source(cdcID, c))
	begin := h.newest()
	live := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("PRAGMA wal_autocheckpoint = 20")
	h.exec("INSERT INTO users VALUES (1, '', 0)")
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 400 << 10, Max: before.Max}))
	committed, refused := 0, 0
	for i := range 80 {
		_, err := h.db.Pool().ExecContext(t.Context(), "UPDATE users SET name = hex(zeroblob(5000)), score = ?", i+1)
		if err == nil {
			committed++
			continue
		}
		refused++
		err = h.db.Classify(err)
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.ErrorContains(t, err, "the log of the durable source cannot be written, and its on_log_full is refuse; make room on the disk")
	}
	met := 0 // a table of which the log has yet to say what it is like
	if _, err := h.db.Pool().ExecContext(t.Context(), "INSERT INTO orders VALUES (1, 1)"); err == nil {
		met = 1
	}
	behind := h.newest()
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
	h.exec("UPDATE users SET score = 1000")
	h.exec("INSERT INTO orders VALUES (2, 1)")
	take(t, live, 1+committed+met+2)
	kept, gaps, last, inGap := 0, 0, -1.0, false
	for after := begin; ; {
		change, err := h.resume(after).Next(t.Context())
		if err != nil {
			gap := gapOf(t, err)
			require.Equal(t, api.GapCaptureLost, gap.Cause)
			require.Equal(t, after.Sequence, gap.After.Sequence)
			after, inGap = gap.Before, true
			gaps++
			continue
		}
		if change.Table.Name == "orders" { // there was room for that
			after = change.Position()
			continue
		}
		score, _ := change.After[2].Any().(float64)
		if score == 1000 {
			require.Equal(t, behind.Sequence, after.Sequence)
			require.Equal(t, "orders", take(t, h.resume(change.Position()), 1)[0].Table.Name)
			break
		}
		require.True(t, score == last+1 || inGap && score > last, "%v behind %v", score, last)
		after, last, inGap = change.Position(), score, false
		kept++
	}
	if policy == api.OnLogFullRefuse {
		require.Zero(t, gaps)
		require.Equal(t, 1+committed, kept)
		require.Positive(t, refused)
		return
	}
	require.Equal(t, 1, gaps, "one for all that there was no room for")
	require.Zero(t, refused)
	require.Equal(t, 80, committed)
	require.Less(t, kept, 80)
}

// With a log that cannot be written the commit goes through and there is a gap, or the commit is refused, as the source says.
func TestALogThatIsFull(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{api.OnLogFullCommit, api.OnLogFullRefuse} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestUnderALogLimit$")
			cmd.Env = append(cmd.Environ(), "WIPPY_LOG_FULL="+policy)
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}

// TestUnderALimitOfTheLogsState is the child process of TestADatabaseOpensOnAFullDisk. What the log has to write to begin is beyond the
// limit, and what SQLite writes is not.
func TestUnderALimitOfTheLogsState(t *testing.T) {
	deed := os.Getenv("WIPPY_OPEN_FULL")
	if deed == "" {
		t.Skip("run by TestADatabaseOpensOnAFullDisk")
	}
	signal.Ignore(syscall.SIGXFSZ)
	h := newHouse(t)
	c := durable("users", "orders")
	for n := range 6000 {
		c.Tables = append(c.Tables, fmt.Sprintf("not_there_%d", n))
	}
	if deed == api.OnLogFullRefuse {
		c.OnLogFull = deed
	}
	served := h.serve(h.source(cdcID, c))
	begin := h.newest()
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	require.NoError(t, served.stop())
	h.withdraw()
	require.NoError(t, h.db.Close())
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	limit := func(n uint64) {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: before.Max}))
	}
	limit(60 << 10)
	if deed == api.OnLogFullRefuse {
		_, err := sqlite.Open(t.Context(), dbID, h.config, h.dir)
		limit(before.Cur)
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.ErrorContains(t, err, "make room on the disk, or set on_log_full: commit")
		h.openDB()
		return
	}
	said := h.listen()
	h.openDB()
	require.Contains(t, said.String(), "make room on the disk")
	served = h.serve(h.source(cdcID, c))
	live := h.subscribe(cdcID, api.StreamOptions{})
	if deed == "commit" {
		h.exec("INSERT INTO users VALUES (2, 'Bob', 1)")
		_, err := live.Next(t.Context())
		require.Equal(t, api.GapCaptureLost, gapOf(t, err).Cause)
		h.exec("INSERT INTO users VALUES (3, 'Eve', 1)")
	}
	require.NoError(t, h.db.ResumeLog(t.Context()), "the disk is still full")
	limit(before.Cur)
	require.NoError(t, h.db.ResumeLog(t.Context()))
	for range 2 {
		h.exec("INSERT INTO orders VALUES (NULL, 4)")
		s := h.resume(begin)
		require.Equal(t, int64(1), take(t, s, 1)[0].After[0].Int64())
		if deed == "commit" {
			_, err := s.Next(t.Context())
			gap := gapOf(t, err)
			require.Equal(t, api.GapCaptureLost, gap.Cause)
			s = h.resume(gap.Before)
		}
		require.Equal(t, "orders", take(t, s, 1)[0].Table.Name)
		require.NoError(t, served.stop())
		h.reopenDB()
		served = h.serve(h.source(cdcID, c))
	}
}

// A database whose log cannot be begun for want of room is opened nevertheless, and what commits meanwhile is one gap; if nothing does
// there is none.
func TestADatabaseOpensOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, deed := range []string{"commit", "nothing", api.OnLogFullRefuse} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestUnderALimitOfTheLogsState$")
			cmd.Env = append(cmd.Environ(), "WIPPY_OPEN_FULL="+deed)
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}

// A transaction beyond max_transaction_bytes is a gap in its place, after a restart as well.
func TestATransactionThatIsTooLargeForADurableLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	h.exec("WITH n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO users SELECT i, hex(zeroblob(50000)), 1 FROM n")
	h.exec("INSERT INTO orders VALUES (1, 1)")
	for range 2 {
		s := h.resume(begin)
		take(t, s, 1)
		_, err := s.Next(t.Context())
		gap := gapOf(t, err)
		require.Equal(t, api.GapTooLarge, gap.Cause)
		require.Equal(t, begin.Sequence+2, gap.Before.Sequence)
		require.Equal(t, "orders", take(t, h.resume(gap.Before), 1)[0].Table.Name)
		require.NoError(t, served.stop())
		h.reopenDB()
		served = h.serve(h.source(cdcID, durable()))
	}
}
