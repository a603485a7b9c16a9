// Package tlsfile makes the configuration of secured connections out of files.
package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Files names files, from a directory. Those that are left out are "".
type Files struct {
	Dir string
	// CA has the certificates that are trusted instead of those of the machine, Cert and Key are the client's own.
	CA, Cert, Key string
}

// Load reads the files. The error is Invalid and names the file.
func Load(f Files) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := os.ReadFile(f.path(f.CA))
		if err != nil {
			return nil, errs.New(errs.Invalid, "tls.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, errs.New(errs.Invalid, "tls.ca: %s has no certificate in PEM", f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.path(f.Cert), f.path(f.Key))
		if err != nil {
			return nil, errs.New(errs.Invalid, "tls.cert and tls.key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// path returns the path of a file.
func (f Files) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.Dir, name)
}
