package http

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// refusal is the answer to a connection that is one too many.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 5\r\n\r\n" +
	"http: too many connections: close one\n"

// limited is a listener that refuses connections beyond a limit.
type limited struct {
	net.Listener
	most int64
	open atomic.Int64
}

func limit(listener net.Listener, most int64) *limited {
	return &limited{Listener: listener, most: most}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // it fits in the buffer of the connection
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

// counted is a connection that gives its place back.
type counted struct {
	net.Conn
	leave func()
}

// SyscallConn implements syscall.Conn.
func (c *counted) SyscallConn() (syscall.RawConn, error) {
	if conn, ok := c.Conn.(syscall.Conn); ok {
		return conn.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
