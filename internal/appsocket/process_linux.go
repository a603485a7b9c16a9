package appsocket

import (
	"context"
	"net"
	"syscall"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Process returns the process that listens at the socket of the app in a directory, by the number that it has here. In a
// container it has another one for itself, which is what it tells.
func Process(ctx context.Context, dir string, told int) (int, error) {
	conn, err := Dial(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // nothing was written
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return told, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case peer.Pid <= 0:
		return 0, errs.New(errs.Unavailable, "the app in %q runs in another container, as process %d there: send SIGHUP to it from within", dir, told)
	default:
		return int(peer.Pid), nil
	}
}
