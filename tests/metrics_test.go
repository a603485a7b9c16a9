package tests_test

import (
	"io"
	"net/http"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := launch(t, unpack(t, clock), "run", "--metrics", "0")
	r.prints(t, r.stdout, "tick\tfirst\ntick\tfirst\n")
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(r.stderr.String())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	for _, line := range []string{
		`wippy_cdc_transactions_total{source="app:cdc"} [1-9]\d*`,
		`wippy_cdc_changes_total{op="insert",source="app:cdc"} [1-9]\d*`,
		`wippy_cdc_changes_total{op="delete",source="app:cdc"} 0`,
		`wippy_cdc_streams{source="app:cdc"} 1`,
		`wippy_cdc_streams_ended_total{reason="lag",source="app:cdc"} 0`,
		`wippy_cdc_log_bytes{source="app:cdc"} \d+`,
		`wippy_cdc_stream_lag_bytes{source="app:cdc"} \d+`,
		`wippy_cdc_spilled_bytes_total{source="app:cdc"} 0`,
		`wippy_cdc_snapshot_rows_total{source="app:cdc"} 0`,
		`go_goroutines \d+`,
	} {
		require.Regexp(t, `(?m)^`+regexp.MustCompile(`[{}]`).ReplaceAllString(line, `\$0`)+`$`, string(text))
	}
	r.signal(t, syscall.SIGTERM)
	require.Zero(t, r.exit(), r.stderr)
}
