package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
)

func TestEachReceivesUntilTheChannelHasEnded(t *testing.T) {
	w := newWorld(t)
	cause := errs.New(errs.Unavailable, "only a value")
	require.Equal(t, "1 only a value 3 end", w.value(`
		local ch = channel.new(1)
		coroutine.spawn(function(err)
			ch:send(1)
			ch:send(err)
			ch:send(3)
			ch:close()
		end, ...)
		local seen = {}
		for v in ch:each() do seen[#seen + 1] = tostring(v) end
		for _ in ch:each() do error("it has ended") end
		return table.concat(seen, " ") .. " end"`, cause), "what a script has sent itself is not raised")
}
