package metrics

import (
	"net"
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// loopback is the host of addresses that name none: an app that is to be reached from elsewhere has to say so.
const loopback = "127.0.0.1"

// Address completes an address for Listen: host:port, :port or port. Without a host it is that of the loopback
// interface.
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
		"metrics: address %q: write host:port, or :port for this machine only; the port is a number, 0 for any that is free", address)
}
