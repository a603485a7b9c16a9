// Package certtest gives tests a certificate: that of a server on this machine, of its clients, and of what both trust.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The names of the files in Dir.
const (
	Cert = "cert.pem"
	Key  = "key.pem"
)

// New makes a certificate for 127.0.0.1 that has signed itself, good for a day, and returns the directory with its files.
func New(tb testing.TB) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	write := func(name, kind string, content []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
	}
	if err := errors.Join(write(Cert, "CERTIFICATE", signed), write(Key, "PRIVATE KEY", private)); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Server returns the configuration of a server that asks its clients for the certificate of dir, too.
func Server(tb testing.TB, dir string) *tls.Config {
	tb.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, Cert), filepath.Join(dir, Key))
	if err != nil {
		tb.Fatal(err)
	}
	trusted := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		tb.Fatal(err)
	}
	trusted.AddCert(parsed)
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
}
