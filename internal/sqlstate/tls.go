package sqlstate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// ExplainTLS adds to an error of connecting which option has to do with it, if it is about TLS.
func ExplainTLS(err error) error {
	const options = "; the options of the entry are those of https://www.postgresql.org/docs/current/libpq-ssl.html"
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "server refused TLS connection"): // the driver has no type for it
		return fmt.Errorf("%w: the server has no TLS, and the option sslmode (or PGSSLMODE) asks for it: "+
			"set ssl = on in postgresql.conf, or choose another sslmode%s", err, options)
	case unknown:
		return fmt.Errorf("%w: name the certificate that has signed the server's in the option sslrootcert%s", err, options)
	case name:
		return fmt.Errorf("%w: give the host the name that is in its certificate, or set the option sslmode to verify-ca%s", err, options)
	default:
		return err
	}
}
