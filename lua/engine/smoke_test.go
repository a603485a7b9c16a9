package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, int64(3), w.value(`local a, b = ... return a + b`, 1, 2))
	require.Equal(t, "x", w.value(`
		local ch = channel.new()
		coroutine.spawn(function() ch:send("x") end)
		return (ch:receive())`))
}
