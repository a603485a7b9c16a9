package plainfile_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/plainfile"
)

func TestReadsRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("text"), []byte("content"), 0o600))
	require.NoError(t, os.Symlink("text", at("link")))
	for _, name := range []string{"text", "link"} {
		content, err := plainfile.Read(at(name))
		require.NoError(t, err)
		require.Equal(t, "content", string(content))
	}

	require.NoError(t, syscall.Mkfifo(at("pipe"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", at("zero")))
	require.NoError(t, os.Symlink("loop", at("loop")))
	socket, err := new(net.ListenConfig).Listen(t.Context(), "unix", at("socket"))
	require.NoError(t, err)
	defer func() { require.NoError(t, socket.Close()) }()
	large, err := os.Create(at("large"))
	require.NoError(t, err)
	require.NoError(t, large.Truncate(plainfile.Limit+1))
	require.NoError(t, large.Close())
	for name, want := range map[string]string{
		"pipe": "it is a named pipe, not a file", "zero": "it is a device, not a file", "": "it is a directory, not a file",
		"socket": "it is a socket, not a file", "large": "it is larger than 16 MiB", "loop": "too many levels of symbolic links",
	} {
		_, err := plainfile.Read(at(name))
		require.EqualError(t, err, want, name)
	}
	_, err = plainfile.Read(at("nothing"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotContains(t, err.Error(), "nothing")
}
