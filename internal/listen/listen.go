// Package listen reads the addresses that users give for a server to listen at, and says what to do about those that cannot
// be had.
package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/wippy-cdc/runtime/api/errs"
)

// loopback is the host of addresses that name none: an app that is to be reached from elsewhere has to say so.
const loopback = "127.0.0.1"

// Address completes an address: host:port, :port or port. Without a host it is that of the loopback interface.
func Address(address string) (string, error) {
	given := address
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", invalid(given)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", invalid(given)
	}
	if host == "" {
		host = loopback
	}
	return net.JoinHostPort(host, port), nil
}

func invalid(address string) error {
	return errs.New(errs.Invalid,
		"address %q: write host:port, or :port for this machine only; the port is a number, 0 for any that is free", address)
}

// IsLoopback reports whether a host, of an address or a URL, is this machine and nothing else: localhost, or an address of
// the loopback interface.
func IsLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// TCP listens at an address, see Address.
func TCP(ctx context.Context, address string) (net.Listener, error) {
	complete, err := Address(address)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", complete)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "%w%s", err, cure(err))
	}
	return listener, nil
}

// cure says what to do about an address that cannot be had.
func cure(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another program has this port, or another run of the app; stop that, or give another port (:0 takes any that is free)"
	case errors.Is(err, syscall.EACCES):
		return ": ports below 1024 need rights of their own; give a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": this machine does not have the address; leave the host out for 127.0.0.1, or give 0.0.0.0 for all there are"
	default:
		return ""
	}
}
