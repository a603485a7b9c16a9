package engine_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestErrorsAsUsersSeeThem runs the cases of testdata/errors.txt.
func TestErrorsAsUsersSeeThem(t *testing.T) {
	text, err := os.ReadFile("testdata/errors.txt")
	require.NoError(t, err)
	cases := strings.Split(string(text), "\n=== ")[1:]
	require.NotEmpty(t, cases)
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		source, want, found := strings.Cut(rest, "\n----\n")
		require.True(t, found, name)
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := w.AddProcess(scriptEntry("golden", source))
			if got == nil {
				got = w.wait(w.spawn("golden")).Err
			}
			require.EqualError(t, got, strings.TrimSuffix(want, "\n"))
		})
	}
}
