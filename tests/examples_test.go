package tests_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	logs := &strings.Builder{}
	script.Stderr = logs
	printed, err := script.Output()
	require.NoError(t, err, "%s%s", printed, logs)
	require.NotContains(t, logs.String(), missingTables)
	return string(printed)
}

// missingTables is a warning of what may be misspelt. A newcomer would take it for a fault of the example.
const missingTables = "selected tables do not exist"

func TestTheFirstRunOfAnExampleMissesNoTable(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{
		"audit": " audited\n", "cache": "pot: Coffee pot\n", "fanout": "slow: ", "outbox": " confirmed\n", "quickstart": `"state":"done"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("../examples", name, "src"))))
			r := launch(t, dir, "run")
			r.prints(t, r.stdout, last)
			require.NotContains(t, r.stderr.String(), missingTables)
		})
	}
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
