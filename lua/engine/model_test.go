package engine_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	processmodule "github.com/wippy-cdc/runtime/lua/modules/process"
)

// TestChannelsLoseAndReorderNothing lets producers and consumers of random number meet on a channel of random size,
// some of them through select with a second channel, and checks what arrives.
func TestChannelsLoseAndReorderNothing(t *testing.T) {
	w := newWorld(t)
	w.script("test", `
		function main(p)
			local ch, noise, done = channel.new(p.buffer), channel.new(), channel.new()
			for producer = 1, p.producers do
				coroutine.spawn(function()
					for i = 1, p.items do
						local item = {producer = producer, i = i}
						if (producer + i) % 3 == 0 then
							local r = channel.select{noise:case_receive(), ch:case_send(item)}
							assert(r.channel == ch and r.ok)
						else
							assert(ch:send(item))
						end
					end
					done:send("producer")
				end)
			end
			local got = {}
			for consumer = 1, p.consumers do
				coroutine.spawn(function()
					local mine = {}
					got[consumer] = mine
					while true do
						local item, ok
						if consumer % 2 == 0 then
							local r = channel.select{ch:case_receive(), noise:case_receive()}
							item, ok = r.value, r.ok
						else
							item, ok = ch:receive()
						end
						if not ok then break end
						mine[#mine + 1] = item
					end
					done:send("consumer")
				end)
			end
			for i = 1, p.producers do done:receive() end
			ch:close()
			for i = 1, p.consumers do done:receive() end
			return got
		end`)
	rapid.Check(t, func(t *rapid.T) {
		producers := rapid.IntRange(1, 5).Draw(t, "producers")
		items := rapid.IntRange(1, 30).Draw(t, "items")
		consumers := rapid.IntRange(1, 5).Draw(t, "consumers")
		exit := w.wait(w.spawn("test", map[string]any{
			"buffer": rapid.IntRange(0, 8).Draw(t, "buffer"), "producers": producers, "items": items, "consumers": consumers,
		}))
		require.NoError(t, exit.Err)
		checkDelivery(t, exit.Value, producers*items)
	})
}

// checkDelivery checks that every item came once, and those of one producer in order at each consumer.
func checkDelivery(t *rapid.T, got any, total int) {
	seen := map[string]bool{}
	lists, _ := got.([]any)
	for _, list := range lists {
		last := map[any]int64{}
		items, _ := list.([]any)
		for _, item := range items {
			m, _ := item.(map[string]any)
			i, _ := m["i"].(int64)
			require.Greater(t, i, last[m["producer"]])
			last[m["producer"]] = i
			key := fmt.Sprint(m["producer"], "/", i)
			require.False(t, seen[key], "%s came twice", key)
			seen[key] = true
		}
	}
	require.Len(t, seen, total)
}

// TestProcessesThatTalkAndDie spawns processes that send to each other while some are terminated.
func TestProcessesThatTalkAndDie(t *testing.T) {
	w := newWorld(t, processmodule.New())
	w.script("test", `
		function main(peers)
			local inbox, events = process.inbox(), process.events()
			local n = 0
			for round = 1, 50 do
				for _, peer in ipairs(peers) do
					local ok, err = process.send(peer, "x", {round = round, from = process.pid()})
					assert(ok or err:kind() == "NOT_FOUND" or err:kind() == "UNAVAILABLE", err)
				end
				while not channel.select{inbox:case_receive(), default = true}.default do n = n + 1 end
				if channel.select{events:case_receive(), default = true}.value then return n end
			end
			return n
		end`)
	const count = 40
	var wg sync.WaitGroup
	peers := make([]any, 0, count)
	for i := range count {
		pid := w.spawn("test", append([]any{}, peers...))
		peers = append(peers, string(pid))
		wg.Go(func() {
			var err error
			switch i % 4 {
			case 0:
				err = w.Terminate(t.Context(), pid)
			case 1:
				err = w.Cancel(t.Context(), pid)
			}
			exit, waitErr := w.Wait(t.Context(), pid)
			if err != nil || waitErr != nil || (exit.Err != nil && !errs.Is(exit.Err, errs.Canceled)) {
				t.Errorf("%s: %v %v %v", pid, err, waitErr, exit.Err)
			}
		})
	}
	wg.Wait()
}

// TestFamilies spawns trees of processes whose roots are terminated at any time.
func TestFamilies(t *testing.T) {
	w := newWorld(t, processmodule.New())
	w.script("node", `
		function main(depth)
			local events = process.events()
			if depth == 0 then return 1 end
			local sum = 1
			for i = 1, 2 do assert(process.spawn("node", "host", depth - 1)) end
			for i = 1, 2 do
				local event = events:receive()
				if event.kind == "pid.cancel" then return sum end
				sum = sum + (event.result or 0)
			end
			return sum
		end`)
	var wg sync.WaitGroup
	for i := range 20 {
		pid := w.spawn("node", 4)
		wg.Go(func() {
			if i%2 == 0 {
				if err := w.Cancel(t.Context(), pid); err != nil {
					t.Error(err)
				}
			}
			exit, err := w.Wait(t.Context(), pid)
			if err != nil || (i%2 == 1 && exit.Value != int64(31)) {
				t.Errorf("%v %v", err, exit)
			}
		})
	}
	wg.Wait()
}

// TestServiceStopIsAnEvent stops services whose process listens.
func TestServiceStopIsAnEvent(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p, processmodule.New())
	w.script("test", `
		function main()
			local events = process.events()
			probe.mark("listening")
			local event = events:receive()
			assert(event.kind == "pid.cancel" and event.from == "" and event.deadline > 0)
			probe.mark("cleaned up")
		end`)
	stop := serve(t, w.service(nil))
	within(t, p.get("listening"))
	stop()
	within(t, p.get("cleaned up"))
}

// TestHostStopIsAnEvent stops a host one of whose processes listens and one does not end in time.
func TestHostStopIsAnEvent(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p, processmodule.New())
	h, err := w.NewHost(hostEntry("stopping", 0), nil)
	require.NoError(t, err)
	end := serving(t, h)
	w.script("polite", `function main() local events = process.events() probe.mark("polite") events:receive() probe.mark("bye") end`)
	w.script("rude", `function main() process.events() probe.on_end("rude") probe.mark("rude") while true do end end`)
	for _, name := range []string{"polite", "rude"} {
		_, err := w.Spawn(t.Context(), process.Spawn{Process: id(name), Host: id("stopping")})
		require.NoError(t, err)
		within(t, p.get(name))
	}
	require.EqualError(t, end(), `lua: process "app:rude": has not ended in time after pid.cancel and was terminated`)
	within(t, p.get("bye"))
	require.Equal(t, []string{"rude"}, p.ends)
}

// What fails while it is stopped says so.
func TestFailureAfterCancelIsTold(t *testing.T) {
	for name, c := range map[string]struct{ after, want string }{
		"error":      {`error("boom")`, "app:test:5: boom"},
		"value":      {`return nil, errors.new("not closed")`, "not closed"},
		"no end":     {`while true do end`, "has not ended in time after pid.cancel and was terminated"},
		"coroutine":  {`coroutine.spawn(function() error("inner") end) channel.new():receive()`, "inner"},
		"a good end": {`return 1`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := func() (*probe, *world) {
				p := &probe{}
				w := newWorld(t, p, processmodule.New(), errorsmodule.New())
				w.script("test", `function main()
					local events = process.events()
					probe.mark("listening")
					events:receive()
					`+c.after+"\nend")
				return p, w
			}
			check := func(err error) {
				if c.want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.want)
				}
			}
			p, w := fresh()
			h, err := w.NewHost(hostEntry("stopping", 0), nil)
			require.NoError(t, err)
			end := serving(t, h)
			_, err = w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("stopping")})
			require.NoError(t, err)
			within(t, p.get("listening"))
			check(end())

			p, w = fresh()
			end = serving(t, w.service(nil))
			within(t, p.get("listening"))
			check(end())
		})
	}
}
