package http

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unanswered is how often what was sent is sent again in vain before a client can be gone: an answer may be on its way.
const unanswered = 3

// vanished reports whether the other side of a TCP connection has let so much time pass without a word about what was sent to it.
// One that reads nothing still says so; the kernel itself gives a silent one up after a quarter of an hour, see tcp_retries2 in
// https://man7.org/linux/man-pages/man7/tcp.7.html.
func vanished(conn net.Conn, silence time.Duration) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return false // not TCP, or closed
	}
	return info.Retransmits+info.Probes >= unanswered && time.Duration(info.Last_ack_recv)*time.Millisecond >= silence
}
