package jetstream_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/certtest"
	"github.com/wippy-cdc/runtime/internal/natstest"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

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
