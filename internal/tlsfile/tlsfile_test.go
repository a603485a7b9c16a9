package tlsfile_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/certtest"
	"github.com/wippy-cdc/runtime/internal/tlsfile"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := certtest.New(t)
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
