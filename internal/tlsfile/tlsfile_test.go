package tlsfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/tlsfile"
)

// certificate writes a certificate and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(name, kind string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
	}
	write("cert.pem", "CERTIFICATE", signed)
	write("key.pem", "PRIVATE KEY", private)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	config, err := tlsfile.Load(tlsfile.Files{Dir: dir, CA: "cert.pem", Cert: filepath.Join(dir, "cert.pem"), Key: "key.pem"})
	require.NoError(t, err)
	require.NotNil(t, config.RootCAs)
	require.Len(t, config.Certificates, 1)

	config, err = tlsfile.Load(tlsfile.Files{})
	require.NoError(t, err)
	require.Nil(t, config.RootCAs, "those of the machine")

	for want, files := range map[string]tlsfile.Files{
		"tls.ca: open " + dir + "/none.pem":        {Dir: dir, CA: "none.pem"},
		"tls.ca: key.pem has no certificate":       {Dir: dir, CA: "key.pem"},
		"tls.cert and tls.key: tls: ":              {Dir: dir, Cert: "key.pem", Key: "key.pem"},
		"tls.cert and tls.key: open " + dir + "/x": {Dir: dir, Cert: "x.pem", Key: "key.pem"},
	} {
		_, err := tlsfile.Load(files)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		require.ErrorContains(t, err, want)
	}
}
