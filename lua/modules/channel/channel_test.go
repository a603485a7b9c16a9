package channel_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestModule(t *testing.T) {
	w := scripttest.New(t, channel.New())
	require.Equal(t, true, w.Value(`return require("channel") == channel`))
	require.Equal(t, []any{"new", "select"}, w.Value(`local names = {} for name in pairs(channel) do names[#names + 1] = name end table.sort(names) return names`))
}

func TestNew(t *testing.T) {
	w := scripttest.New(t, channel.New())
	require.Equal(t, []any{int64(1), int64(2), true}, w.Value(`
		local ch = channel.new(2)
		ch:send(1) ch:send(2)
		local full = channel.select{ch:case_send(3), default = true}.default
		return {(ch:receive()), (ch:receive()), full}`))
	require.Equal(t, true, w.Value(`return channel.select{channel.new():case_send(1), default = true}.default`), "no buffer unless asked for")
	for _, arg := range []string{"-1", "0.5", "1e9", "0/0", `"many"`, "{}"} {
		require.ErrorContains(t, w.Failure(`channel.new(`+arg+`)`), "bad argument #1 to new", arg)
	}
}

func TestPipeline(t *testing.T) {
	w := scripttest.New(t, channel.New())
	require.Equal(t, int64(2*500*501/2), w.Value(`
		local numbers, doubled = channel.new(10), channel.new()
		coroutine.spawn(function() for i = 1, 500 do numbers:send(i) end numbers:close() end)
		coroutine.spawn(function()
			while true do
				local n, ok = numbers:receive()
				if not ok then break end
				doubled:send(n * 2)
			end
			doubled:close()
		end)
		local sum = 0
		while true do
			local n, ok = doubled:receive()
			if not ok then return sum end
			sum = sum + n
		end`))
}
