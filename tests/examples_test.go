package tests_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// example runs the script of an example and returns what it prints.
func example(t *testing.T, name, port string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	script := exec.CommandContext(t.Context(), "bash", filepath.Join("../examples", name, "run"))
	script.Cancel = func() error { return script.Process.Signal(syscall.SIGTERM) } // then it ends what it has started
	script.WaitDelay = time.Minute
	script.Env = append(script.Environ(), "WIPPY="+filepath.Join(programs(t), "wippy"), port+"="+strconv.Itoa(free))
	printed, err := script.Output()
	require.NoError(t, err, "%s", printed)
	return string(printed)
}

// The server is killed while the shop sells; both readers get each order once and in order.
func TestExampleOfAStream(t *testing.T) {
	t.Parallel()
	printed := example(t, "jetstream", "NATS_PORT")
	require.Contains(t, printed, "the server runs again\n")
	require.Contains(t, printed, "shop: 300 orders sold and delivered\n")
	require.Contains(t, printed, "billing: 300 orders, in order, in 100 transactions\n")
	require.Contains(t, printed, "shipping: 300 orders, in order, in 100 transactions\n")
}

func TestExampleOfAWebhook(t *testing.T) {
	t.Parallel()
	printed := example(t, "webhook", "HOOK_PORT")
	require.Contains(t, printed, "receiver: 49 orders, each once\n")
	require.Contains(t, printed, "shop: parked main.orders {\"id\":20}\n")
}
