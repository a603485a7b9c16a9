package tests_test

import (
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The audit trail is complete, and has nothing twice, over kills at any moment and stops in good order.
func TestTheAuditTrailIsCompleteOverKills(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../examples/audit/src")))
	for range kills(t) {
		r := launch(t, dir, "run", "-s")
		if random.IntN(3) == 0 {
			r.prints(t, r.stdout, " audited\n")
			r.signal(t, syscall.SIGTERM)
		} else {
			time.Sleep(time.Duration(random.IntN(int(400 * time.Millisecond)))) //nolint:forbidigo // anywhere in what it does
			r.signal(t, syscall.SIGKILL)
		}
		r.exit()
	}
	r := launch(t, dir, "run", "-s")
	r.prints(t, r.stdout, " audited\n")
	r.signal(t, syscall.SIGTERM)
	r.exit()
	sold := numbers(t, filepath.Join(dir, "data", "shop.db"), "SELECT id FROM orders ORDER BY id")
	audited := numbers(t, filepath.Join(dir, "data", "audit.db"),
		"SELECT DISTINCT json_extract(after, '$.id') AS id FROM entries WHERE op IN ('insert', 'snapshot') ORDER BY id")
	twice := numbers(t, filepath.Join(dir, "data", "audit.db"),
		"SELECT json_extract(after, '$.id') AS id FROM entries WHERE op = 'insert' GROUP BY id HAVING count(*) > 1")
	require.Empty(t, twice)
	require.NotEmpty(t, sold)
	require.Equal(t, sold, audited)
	const whenever = "SELECT count(*) FROM entries WHERE committed_at IS NULL OR abs(committed_at - unixepoch()) > 86400"
	require.Equal(t, []int64{0}, numbers(t, filepath.Join(dir, "data", "audit.db"), whenever), "it is noted when they were committed")
}

func numbers(t *testing.T, file, query string) (all []int64) {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var n int64
		require.NoError(t, rows.Scan(&n))
		all = append(all, n)
	}
	require.NoError(t, rows.Err())
	return all
}
