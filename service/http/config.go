package http

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/listen"
	"github.com/wippy-cdc/runtime/internal/plainfile"
)

// Config says by which doors an app can be reached.
type Config struct {
	// Socket is whether there is a unix socket, see package appsocket.
	Socket bool
	// Address is where the app listens by TCP, see listen.Address; "" means nowhere.
	Address string
	// TokenFile names a file with the token that requests by TCP must have; "" means that they need none, which is for
	// addresses of this machine alone.
	TokenFile string
	// Version is that of the program, which clients are told.
	Version string
}

// shortest is how long a token must be.
const shortest = 16

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	_, err := c.token()
	return err
}

// token returns the token that requests by TCP must have, "" if they need none.
func (c *Config) token() (string, error) {
	if c.Address == "" {
		if c.TokenFile != "" {
			return "", errs.New(errs.Invalid, "http: there is a token file and no address that it is for: give --http as well")
		}
		return "", nil
	}
	address, err := listen.Address(c.Address)
	if err != nil {
		return "", errs.New(errs.KindOf(err), "http: %w", err)
	}
	if c.TokenFile != "" {
		return readToken(c.TokenFile)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", errs.New(errs.Invalid, "http: address %q: %w", address, err)
	}
	if !listen.IsLoopback(host) {
		return "", errs.New(errs.Invalid, "http: address %q can be reached from other machines, which could read all changes: "+
			"give --http-token-file as well, or leave the host out", c.Address)
	}
	return "", nil
}

// readToken returns the token of a file. No error has any of it.
func readToken(path string) (string, error) {
	content, err := plainfile.Read(path)
	if err != nil {
		return "", errs.New(errs.Invalid, "http: read the token file %q: %w", path, err)
	}
	token := strings.TrimSpace(string(content))
	switch {
	case len(token) < shortest:
		return "", errs.New(errs.Invalid, "http: the token in %q has %d characters, and needs %d at least; openssl rand -hex 32 makes one",
			path, len(token), shortest)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errs.New(errs.Invalid, "http: the token in %q has other characters than letters, digits and signs of ASCII, or has spaces within", path)
	default:
		return token, nil
	}
}

// warnOfReaders warns of a token file that others than its owner can use.
func warnOfReaders(path string, logger *slog.Logger) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		logger.Warn("other users of this machine may read the token file: chmod 600 makes it that of its owner",
			"path", path, "mode", fmt.Sprintf("%o", info.Mode().Perm()))
	}
}
