package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

func TestAResetSaysWhatItPassesOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ to, lag, told string }{
		{"live", "12", "live, and 12 transactions before it are passed over"},
		{"live", "1", "live, and 1 transaction before it is passed over"},
		{"live", "0", "live"},
		{"live", "null", "live"},
		{"snapshot", "12", "snapshot"},
	} {
		app := http.NewServeMux()
		app.HandleFunc("GET /api/consumers", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"consumers": [{"source": "app:cdc", "name": "one", "lag_transactions": %s}]}`, c.lag)
		})
		app.HandleFunc("POST /api/sources/app:cdc/consumers/one/reset", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
		app.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
		server := httptest.NewServer(app)
		var stdout, stderr strings.Builder
		code := wippy.Run([]string{"consumers", "reset", "one", "--to", c.to, "--addr", server.URL}, &stdout, &stderr, nil, nil)
		server.Close()
		require.Equal(t, 0, code, stderr.String())
		require.Equal(t, "one of app:cdc goes on: "+c.told+"\n", stdout.String())
	}
}
