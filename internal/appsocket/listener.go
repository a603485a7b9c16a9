package appsocket

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Listener listens at the socket of an app. Close removes the socket.
type Listener struct {
	net.Listener
	lock *os.File
}

// Listen listens at the socket of the app in a directory. A socket that an app has left behind is taken over; that of one
// that runs is a Conflict, which names the process.
func Listen(ctx context.Context, dir string) (*Listener, error) {
	p, err := placeOf(dir)
	if err != nil {
		return nil, err
	}
	if err := p.prepare(); err != nil {
		return nil, about(p, err)
	}
	lock, err := p.acquire()
	if err != nil {
		return nil, err
	}
	l, err := p.listen(ctx)
	if err != nil {
		return nil, errors.Join(about(p, err), lock.Close())
	}
	return &Listener{Listener: l, lock: lock}, nil
}

// prepare makes the directory, which no other user can look into. Version control leaves out what is below that of an app.
func (p place) prepare() error {
	if err := os.MkdirAll(p.directory, 0o700); err != nil {
		return err
	}
	if err := owned(p.directory); err != nil {
		return err
	}
	if err := os.Chmod(p.directory, 0o700); err != nil { //nolint:gosec // a directory
		return err
	}
	if p.elsewhere {
		return nil
	}
	ignore := filepath.Join(p.directory, ".gitignore")
	if _, err := os.Lstat(ignore); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o600)
}

// acquire takes the lock that the owner of the socket has. The file stays: removing it would let two programs have it.
func (p place) acquire() (*os.File, error) {
	file, err := os.OpenFile(p.lock, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, about(p, err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(p.taken(file), file.Close())
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOLCK), err == nil: // there are file systems without locks
	default:
		return nil, errors.Join(about(p, err), file.Close())
	}
	if err := sign(file); err != nil {
		return nil, errors.Join(about(p, err), file.Close())
	}
	return file, nil
}

// taken is the error of a socket that another app has; file says which.
func (p place) taken(file io.Reader) error {
	owner, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return about(p, err)
	}
	return errs.New(errs.Conflict, "socket %q is that of another run of this app, of process %s", p.socket, strings.TrimSpace(string(owner)))
}

// listen makes the socket in place of one that was left behind.
func (p place) listen(ctx context.Context) (net.Listener, error) {
	switch info, err := os.Lstat(p.socket); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, errs.New(errs.Invalid, "there is something else of that name: remove it")
	default:
		if err := os.Remove(p.socket); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", p.socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(p.socket, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close stops listening, removes the socket, and gives the lock back.
func (l *Listener) Close() error { return errors.Join(l.Listener.Close(), l.lock.Close()) }

// sign writes which process has the lock.
func sign(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}
