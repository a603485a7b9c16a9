//go:build sqlite_preupdate_hook

package http_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	httpservice "github.com/wippy-cdc/runtime/service/http"
)

// vanish makes a client drop all that comes, as if its machine were off: nothing answers for it.
func vanish(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	}))
	require.NoError(t, failed)
}

// A client whose machine is gone gives the name of its consumer back, and what it was sent comes to the next one. One that only reads
// nothing keeps it.
func TestAClientThatVanishesIsCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true, func(s *httpservice.Settings) { s.SetSilence(300 * time.Millisecond) })
	sleepy := h.connect(t, "?consumer=sleepy")
	gone := h.connect(t, "?consumer=gone&tables=users")
	eventually(t, func() bool { return len(h.catalog.Streams()) == 2 })
	vanish(t, gone)
	h.exec(t, "INSERT INTO orders VALUES (1, zeroblob(12582912))") // more than buffers hold
	h.insert(t, 1)
	eventually(t, func() bool { return len(h.catalog.Streams()) == 1 })
	require.Equal(t, "sleepy", h.catalog.Streams()[0].Consumer)
	require.Contains(t, h.log.String(), "a client has not answered for long and is taken for gone")
	require.Contains(t, h.log.String(), "reader=\"sleepy/1 at "+gone.LocalAddr().String())
	require.NotContains(t, h.log.String(), sleepy.LocalAddr().String())
	require.Equal(t, 1, strings.Count(h.log.String(), "taken for gone"))
	h.tail(t, "?consumer=gone&tables=users").changes(1)
}
