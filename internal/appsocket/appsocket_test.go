package appsocket_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/appsocket"
)

// greet accepts one connection, on which it says hello.
func greet(t *testing.T, l net.Listener) {
	t.Helper()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
}

func greeted(t *testing.T, dir string) {
	t.Helper()
	conn, err := appsocket.Dial(t.Context(), dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	word := make([]byte, 5)
	_, err = conn.Read(word)
	require.NoError(t, err)
	require.Equal(t, "hello", string(word))
}

func TestTheSocketIsBelowTheDirectoryOfTheAppAndOnlyOfItsUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	path := filepath.Join(dir, ".wippy", "socket")
	found, err := appsocket.Path(dir)
	require.NoError(t, err)
	require.Equal(t, path, found)
	for name, mode := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Lstat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}
	ignore, err := os.ReadFile(filepath.Join(dir, ".wippy", ".gitignore"))
	require.NoError(t, err)
	require.Equal(t, "*\n", string(ignore))
	greet(t, l)
	greeted(t, dir)
	require.NoError(t, l.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = appsocket.Dial(t.Context(), dir)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, "no app runs in")
}

func TestASocketThatWasLeftBehindIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	l.Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	_, err = os.Lstat(filepath.Join(dir, ".wippy", "socket"))
	require.NoError(t, err, "it is there")
	_, err = appsocket.Dial(t.Context(), dir)
	require.Equal(t, errs.NotFound, errs.KindOf(err), "but no app is")
	l, err = appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	greet(t, l)
	greeted(t, dir)
	require.NoError(t, l.Close())
}

func TestTheSocketOfAnAppThatRunsIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, same := range []string{dir, link} {
		_, err = appsocket.Listen(t.Context(), same)
		require.Equal(t, errs.Conflict, errs.KindOf(err))
		require.ErrorContains(t, err, "of another run of this app, of process ")
	}
	greet(t, l)
	greeted(t, link)
	require.NoError(t, l.Close())
	l, err = appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// A path that is too long for a socket leads to the runtime directory of the user, for both sides.
func TestALongPath(t *testing.T) {
	runtime, err := os.MkdirTemp("", "w") //nolint:usetesting // that of the test is too long
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(runtime)) }()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	other := filepath.Join(dir, "other")
	require.NoError(t, os.MkdirAll(other, 0o700))
	l, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	path, err := appsocket.Path(dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(runtime, "wippy"), filepath.Dir(path))
	info, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|0o700, info.Mode())
	greet(t, l)
	greeted(t, dir)
	_, err = appsocket.Dial(t.Context(), other)
	require.Equal(t, errs.NotFound, errs.KindOf(err), "each app has its own")
	_, err = os.Lstat(filepath.Join(dir, ".wippy"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, l.Close())
	t.Setenv("XDG_RUNTIME_DIR", dir)
	_, err = appsocket.Path(dir)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "give a shorter XDG_RUNTIME_DIR")
}

func TestWhatIsInTheWayIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".wippy", "socket"), 0o700))
	_, err := appsocket.Listen(t.Context(), dir)
	require.ErrorContains(t, err, "there is something else of that name: remove it")
	file := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(file, ".wippy"), nil, 0o600))
	_, err = appsocket.Listen(t.Context(), file)
	require.ErrorContains(t, err, "not a directory")
	_, err = appsocket.Dial(t.Context(), file)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	_, err = appsocket.Listen(t.Context(), filepath.Join(dir, "nowhere"))
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	linked := t.TempDir()
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(linked, ".wippy")))
	_, err = appsocket.Listen(t.Context(), linked)
	require.ErrorContains(t, err, "is not a directory", "a link leads elsewhere")
}
