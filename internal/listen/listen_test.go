package listen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/listen"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"9090":           "127.0.0.1:9090",
		":9090":          "127.0.0.1:9090",
		"0":              "127.0.0.1:0",
		"localhost:9090": "localhost:9090",
		"0.0.0.0:9090":   "0.0.0.0:9090",
		"[::]:9090":      "[::]:9090",
	} {
		got, err := listen.Address(given)
		require.NoError(t, err, given)
		require.Equal(t, want, got)
	}
	for _, wrong := range []string{"", ":", "localhost", "localhost:", "host:http", "1:2:3", "::1", ":-1", ":65536", ":+1", ":01", "http://localhost:90"} {
		_, err := listen.Address(wrong)
		require.Equal(t, errs.Invalid, errs.KindOf(err), wrong)
		require.ErrorContains(t, err, "write host:port, or :port for this machine only")
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "LocalHost", "localhost.", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1"} {
		require.True(t, listen.IsLoopback(host), host)
	}
	for _, host := range []string{
		"", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.example.com", "127.1", "0x7f000001", "2130706433",
	} {
		require.False(t, listen.IsLoopback(host), host)
	}
}
