package jetstream_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/certtest"
	"github.com/wippy-cdc/runtime/internal/natstest"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
)

// Credentials that cannot be read are told before anything connects: no attempt would be any different.
func TestCredentialsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("token", "hidden")
	write("broken", "-----BEGIN NATS USER JWT-----\njwt\n------END NATS USER JWT------\n"+
		"-----BEGIN USER NKEY SEED-----\nSUhidden\n------END USER NKEY SEED------\n")
	write("right", "-----BEGIN NATS USER JWT-----\njwt\n------END NATS USER JWT------\n"+
		"-----BEGIN USER NKEY SEED-----\n"+string(seed)+"\n------END USER NKEY SEED------\n")
	open := func(path string) error {
		config := new(api.JetStreamConfig)
		config.URL, config.Credentials = "nats://127.0.0.1:1", path
		kind := wippyjetstream.Kind(registry.ID{Namespace: "app", Name: "out"}, config)
		d, err := kind.Open(sink.Settings{AppDir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			d.Close()
		}
		return err
	}
	require.NoError(t, open("right"))
	require.NoError(t, open(filepath.Join(dir, "right")))
	for path, want := range map[string]string{
		"none": "credentials: open " + filepath.Join(dir, "none") + ": no such file", ".": "credentials: read " + dir,
		"token": "credentials: " + filepath.Join(dir, "token") + " is no file of credentials", "broken": filepath.Join(dir, "broken"),
	} {
		err := open(path)
		require.Equal(t, errs.Invalid, errs.KindOf(err), "%s: %v", path, err)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
}

// A server that asks for a certificate gets that of the entry, and one that shows none that is trusted gets nothing.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := certtest.New(t)
	cert, key := filepath.Join(dir, certtest.Cert), filepath.Join(dir, certtest.Key)
	s := &server{Server: natstest.New(t, fmt.Sprintf("tls: {cert_file: %q, key_file: %q, ca_file: %[1]q, verify: true}", cert, key))}
	with := func(tls api.TLSConfig) sink.Destination {
		return s.open(t, registry.ID{Namespace: "app", Name: "out"}, func(c *api.JetStreamConfig) { c.TLS = tls })
	}
	right := with(api.TLSConfig{CA: cert, Cert: cert, Key: key})
	deliver(t, right, records(0, 20, 10))
	s.Kill()
	s.Start()
	for range 2 { // the first finds out that the connection is gone
		if _, err := right.Deliver(t.Context(), records(20, 10, 10)); err == nil {
			break
		}
	}
	deliver(t, right, records(30, 10, 10))
	for tls, want := range map[api.TLSConfig]string{
		{Enabled: true}: "certificate signed by unknown authority", {CA: cert}: "tls", {}: "certificate signed by unknown authority",
	} {
		n, err := with(tls).Deliver(t.Context(), records(40, 10, 10))
		require.Zero(t, n)
		require.Equal(t, errs.Unavailable, errs.KindOf(err), "%v", err)
		require.ErrorContains(t, err, want)
	}
}
