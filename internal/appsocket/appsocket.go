// Package appsocket is the unix socket at which a running app answers: where it is, who may use it, and what becomes of one
// that an app has left behind. Only the user whose app it is can open it.
package appsocket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/wippy-cdc/runtime/api/errs"
)

const (
	// Directory is where a running app keeps what is only of this machine, below the app's directory. Declarations are not
	// read from it: its name begins with a dot.
	Directory = ".wippy"
	// longest is how long the path of a socket may be on every system: a NUL follows in 104 bytes on BSDs, 108 on Linux.
	longest = 103
)

// place is where the socket of an app is.
type place struct {
	// app is the directory of the app.
	app                     string
	directory, socket, lock string
	// elsewhere says that it is not below the app's directory.
	elsewhere bool
}

// Path returns the path of the socket of the app in a directory: below it, or in the user's runtime directory if that path
// is too long for a socket.
func Path(dir string) (string, error) {
	p, err := placeOf(dir)
	return p.socket, err
}

func placeOf(dir string) (place, error) {
	absolute, err := filepath.Abs(dir)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{}, errs.New(errs.NotFound, "there is no directory %q", dir)
	case err != nil:
		return place{}, errs.New(errs.Invalid, "find the directory %q: %w", dir, err)
	}
	below := filepath.Join(absolute, Directory)
	p := place{app: absolute, directory: below, socket: filepath.Join(below, "socket"), lock: filepath.Join(below, "lock")}
	if len(p.socket) <= longest {
		return p, nil
	}
	sum := sha256.Sum256([]byte(absolute))
	name := filepath.Join(runtimeDirectory(), hex.EncodeToString(sum[:12]))
	p = place{app: absolute, directory: runtimeDirectory(), socket: name + ".socket", lock: name + ".lock", elsewhere: true}
	if len(p.socket) > longest {
		return place{}, errs.New(errs.Invalid, "the path %q is too long for a socket, and so is %q: give a shorter XDG_RUNTIME_DIR", below, p.socket)
	}
	return p, nil
}

// runtimeDirectory is where programs of the user keep their sockets.
func runtimeDirectory() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "wippy")
	}
	return filepath.Join(os.TempDir(), "wippy-"+strconv.Itoa(os.Geteuid()))
}

// Dial connects to the app that runs in a directory. The error is NotFound if none does.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	p, err := placeOf(dir)
	if err != nil {
		return nil, err
	}
	if p.elsewhere { // others can make directories there
		if err := owned(p.directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, errs.New(errs.NotFound, "no app runs in %q: start it (wippy run %s), or name its directory with -C", p.app, dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, errs.New(errs.PermissionDenied, "the app in %q is that of another user: %w", p.app, err)
	default:
		return nil, errs.New(errs.Unavailable, "connect to the app in %q: %w", p.app, err)
	}
}

// owned reports what is wrong with a directory that must be that of the user and of no other.
func owned(directory string) error {
	info, err := os.Lstat(directory)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return errs.New(errs.Invalid, "%q is not a directory: remove it", directory)
	case ok && int(stat.Uid) != os.Geteuid():
		return errs.New(errs.PermissionDenied, "the directory %q belongs to another user", directory)
	default:
		return nil
	}
}

// about says which socket an error is about.
func about(p place, err error) error {
	return fmt.Errorf("socket %q: %w", p.socket, err)
}
