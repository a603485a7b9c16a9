package tests_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Over kills at any moment each order is confirmed, once, and nothing is that was withdrawn.
func TestTheOutboxIsDeliveredOverKills(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../examples/outbox/src")))
	for range kills(t) {
		r := launch(t, dir, "run", "-s")
		time.Sleep(time.Duration(random.IntN(int(400 * time.Millisecond)))) //nolint:forbidigo // anywhere in what it does
		r.signal(t, syscall.SIGKILL)
		r.exit()
	}
	r := launch(t, dir, "run", "-s")
	r.prints(t, r.stdout, " confirmed\n")
	r.signal(t, syscall.SIGTERM)
	r.exit()
	shop, elsewhere := filepath.Join(dir, "data", "shop.db"), filepath.Join(dir, "data", "elsewhere.db")
	ordered := numbers(t, shop, "SELECT CAST(substr(item, 6) AS INTEGER) AS n FROM orders ORDER BY n")
	confirmed := numbers(t, elsewhere, "SELECT CAST(substr(body, 14) AS INTEGER) AS n FROM received ORDER BY n")
	require.NotEmpty(t, ordered)
	require.Equal(t, ordered, confirmed)
	require.Equal(t, []int64{0}, numbers(t, shop, "SELECT count(*) FROM outbox"))
}
