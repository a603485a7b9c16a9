package pgtest

import (
	"errors"
	"path/filepath"

	"github.com/wippy-cdc/runtime/internal/certtest"
)

// certify gives the server a certificate for 127.0.0.1.
func (s *Server) certify() error {
	s.RootCert = filepath.Join(s.data(), "server.crt")
	key := filepath.Join(s.data(), "server.key")
	return errors.Join(certtest.Write(s.RootCert, key), s.account.own(s.RootCert, key))
}
