package jetstream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
)

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wide, narrow string
		want         bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.*", "a.b", true},
		{"a.*", "a.*", true},
		{"a.b", "a.*", false},
		{"a.>", "a.*.*", true},
		{"a.>", "a", false},
		{"a.*", "a.b.c", false},
		{"a.*", "a.>", false},
		{">", "a", true},
		{"a.*.*", "a.*", false},
	} {
		require.Equal(t, test.want, wippyjetstream.Covers(test.wide, test.narrow), "%+v", test)
	}
}
