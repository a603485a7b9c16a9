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

// New makes a certificate, and returns the directory with its files.
func New(tb testing.TB) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	if err := Write(filepath.Join(dir, Cert), filepath.Join(dir, Key)); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Write writes a certificate for 127.0.0.1 that has signed itself, good for a day, and its key.
func Write(cert, key string) error {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return err
	}
	return errors.Join(write(cert, "CERTIFICATE", signed), write(key, "PRIVATE KEY", secret))
}

func write(path, kind string, content []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
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
