package time_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	timemodule "github.com/wippy-cdc/runtime/lua/modules/time"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// value runs body in a world with a clock of its own, which jumps when everything waits, and returns what it returned
// and how long it took on that clock.
func value(t *testing.T, body string, args ...any) (v any, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := scripttest.New(t, channel.New(), timemodule.New())
		start := time.Now()
		exit, err := w.Wait(t.Context(), w.Start(scripttest.Plain(), `local time = require("time") `+body, args...))
		require.NoError(t, err)
		require.NoError(t, exit.Err)
		v, took = exit.Value, time.Since(start)
	})
	return v, took
}

func failure(t *testing.T, body string) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		err = scripttest.New(t, channel.New(), timemodule.New()).Failure(`local time = require("time") ` + body)
	})
	return err
}

func TestSleep(t *testing.T) {
	for arg, want := range map[string]time.Duration{
		`"5s"`: 5 * time.Second, `"1h30m"`: 90 * time.Minute, `1000000`: time.Millisecond,
		`2 * time.SECOND`: 2 * time.Second, `time.parse_duration("1m")`: time.Minute, `0`: 0, `"0"`: 0, `"-1s"`: 0,
	} {
		v, took := value(t, `return time.sleep(`+arg+`)`)
		require.Equal(t, true, v, arg)
		require.Equal(t, want, took, arg)
	}
}

func TestSleepBlocksOnlyItsCoroutine(t *testing.T) {
	v, took := value(t, `
		local done, order = channel.new(), {}
		for _, d in ipairs{"3s", "1s", "2s"} do
			coroutine.spawn(function() time.sleep(d) order[#order + 1] = d done:send(1) end)
		end
		for i = 1, 3 do done:receive() end
		return order`)
	require.Equal(t, []any{"1s", "2s", "3s"}, v)
	require.Equal(t, 3*time.Second, took)
}

func TestSleepEndsWithItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := scripttest.New(t, timemodule.New())
		pid := w.Start(scripttest.Plain(), `while true do pcall(require("time").sleep, "1000h") end`)
		synctest.Wait()
		start := time.Now()
		require.ErrorContains(t, w.Kill(pid).Err, "terminated")
		require.Zero(t, time.Since(start))
	})
}

func TestBadDurations(t *testing.T) {
	for _, call := range []string{`time.parse_duration("x")`, `time.parse_duration("100")`} {
		v, _ := value(t, `local v, err = `+call+` assert(v == nil) return err:kind()`)
		require.Equal(t, "INVALID", v, "text that may come from elsewhere: "+call)
	}
	for call, want := range map[string]string{
		`time.sleep("500 ms")`:                 `bad argument #1 to sleep ("500 ms" is not a duration`,
		`time.sleep("soon")`:                   `bad argument #1 to sleep ("soon" is not a duration: write it like 5s, 250ms or 1h30m)`,
		`time.sleep("5")`:                      `bad argument #1 to sleep (5 has no unit: write 5s or 5ms)`,
		`time.sleep(0/0)`:                      "NaN is not a number of nanoseconds",
		`time.sleep(1e300)`:                    "is not a number of nanoseconds",
		`time.after("soon")`:                   "bad argument #1 to after",
		`time.after("0.5")`:                    "0.5 has no unit",
		`time.timer("5 apples")`:               "bad argument #1 to timer",
		`time.timer("1s"):reset("x")`:          "bad argument #2 to reset",
		`time.timer("1s"):reset("1")`:          "1 has no unit",
		`time.ticker("")`:                      "bad argument #1 to ticker",
		`time.ticker(0)`:                       "bad argument #1 to ticker (a ticker needs a period of more than 0, not 0s)",
		`time.ticker("-1s")`:                   "a ticker needs a period of more than 0, not -1s",
		`time.ticker("1s"):reset(0)`:           "bad argument #2 to reset (a ticker needs a period of more than 0, not 0s)",
		`time.sleep()`:                         `bad argument #1 to sleep (duration expected ("5s", nanoseconds or a Duration), got nil)`,
		`time.sleep({})`:                       "got table",
		`time.after(true)`:                     "got boolean",
		`time.sleep(time.now())`:               "got userdata",
		`time.parse_duration()`:                "string expected",
		`time.now().unix()`:                    "time.Time expected, got nil",
		`time.now():add("x")`:                  `"x" is not a duration`,
		`time.now():sub(1)`:                    "time.Time expected, got number",
		`time.timer("1s").stop({})`:            "time.Timer expected, got table",
		`time.parse_duration("1s").seconds(1)`: "time.Duration expected, got number",
	} {
		require.ErrorContains(t, failure(t, call), want, call)
	}
}

func TestAfter(t *testing.T) {
	v, took := value(t, `
		local start = time.now()
		local ch = time.after("10s")
		local at, ok = ch:receive()
		return {tostring(at:sub(start)), ok, channel.select{ch:case_receive(), default = true}.default}`)
	require.Equal(t, []any{"10s", true, true}, v)
	require.Equal(t, 10*time.Second, took)
}

func TestSelectWithTimeout(t *testing.T) {
	v, took := value(t, `
		local ch, n = channel.new(), 0
		coroutine.spawn(function() for i = 1, 3 do time.sleep("1s") ch:send(i) end end)
		while true do
			local timeout = time.after("5s")
			local r = channel.select{ch:case_receive(), timeout:case_receive()}
			if r.channel == timeout then return n end
			n = n + 1
		end`)
	require.Equal(t, int64(3), v)
	require.Equal(t, 8*time.Second, took)
}

func TestTimer(t *testing.T) {
	v, took := value(t, `
		local timer = time.timer("10s")
		assert(timer:channel() == timer:channel())
		assert(timer:stop() == true and timer:stop() == false)
		assert(timer:reset("2s") == false)
		assert(timer:reset("3s") == true)
		timer:channel():receive()
		assert(timer:stop() == false)
		timer:reset("4s")
		timer:channel():receive()
		timer:reset("1s")
		time.sleep("5s")
		timer:stop()
		return channel.select{timer:channel():case_receive(), default = true}.default`)
	require.Equal(t, true, v, "a stopped timer keeps no old tick")
	require.Equal(t, 12*time.Second, took)
}

func TestTicker(t *testing.T) {
	v, took := value(t, `
		local start, ticker, at = time.now(), time.ticker("1s"), {}
		for i = 1, 3 do at[i] = ticker:channel():receive():sub(start):seconds() end
		time.sleep("3500ms")
		at[4] = ticker:channel():receive():sub(start):seconds()
		at[5] = ticker:channel():receive():sub(start):seconds()
		assert(ticker:reset("10s") == true)
		at[6] = ticker:channel():receive():sub(start):seconds()
		assert(ticker:stop() == true and ticker:stop() == false)
		local timeout = time.after("1m")
		return {at, channel.select{ticker:channel():case_receive(), timeout:case_receive()}.channel == timeout}`)
	require.Equal(t, []any{[]any{int64(1), int64(2), int64(3), int64(4), int64(7), int64(17)}, true}, v, "ticks that are not read are dropped, the beat is kept")
	require.Equal(t, 77*time.Second, took)
}

func TestProcessThatEndsStopsItsTimers(t *testing.T) {
	v, took := value(t, `
		for i = 1, 100 do time.after("1h") time.timer("2h") time.ticker("1ms") end
		coroutine.spawn(function() time.ticker("1ms"):channel():receive() end)
		return "done"`)
	require.Equal(t, "done", v)
	require.Zero(t, took)
}

func TestSeveralCoroutinesShareATicker(t *testing.T) {
	v, took := value(t, `
		local ticker, done, n = time.ticker("1s"), channel.new(), 0
		for i = 1, 5 do
			coroutine.spawn(function()
				for j = 1, 2 do ticker:channel():receive() n = n + 1 end
				done:send(1)
			end)
		end
		for i = 1, 5 do done:receive() end
		return n`)
	require.Equal(t, int64(10), v)
	require.Equal(t, 10*time.Second, took)
}

func TestTimes(t *testing.T) {
	// The clock of a bubble begins at midnight UTC 2000-01-01.
	v, _ := value(t, `
		local now = time.now()
		local later = now:add("90m")
		return {now:unix(), tostring(now), now:format("2006-01-02"), later:format(time.RFC3339), time.unix(),
			tostring(later:sub(now)), now < later, now == now:add(0), later <= now, now:unix_nano() == 946684800 * 1e9,
			now:add("1500ms"):format(time.RFC3339_NANO)}`)
	require.Equal(t, []any{
		int64(946684800), "2000-01-01T00:00:00Z", "2000-01-01", "2000-01-01T01:30:00Z", int64(946684800),
		"1h30m0s", true, true, false, true, "2000-01-01T00:00:01.5Z",
	}, v)
}

func TestDurations(t *testing.T) {
	v, _ := value(t, `
		local d = time.parse_duration("1m30.5s")
		return {d:seconds(), d:milliseconds(), d:nanoseconds(), tostring(d), d == time.parse_duration("90500ms"),
			d < time.parse_duration("2m"), d <= time.parse_duration("1s"), getmetatable(d), time.HOUR / time.MINUTE}`)
	require.Equal(t, []any{90.5, int64(90500), int64(90500000000), "1m30.5s", true, true, false, "time.Duration", int64(60)}, v)
}

// TestTimersStress starts, resets and stops alarms from many coroutines of many processes, some of which are killed.
func TestTimersStress(t *testing.T) {
	w := scripttest.New(t, channel.New(), timemodule.New())
	pids := make([]process.PID, 8)
	for i := range pids {
		pids[i] = w.Start(scripttest.Plain(), `
			local time, done = require("time"), channel.new()
			for i = 1, 10 do
				coroutine.spawn(function()
					local timer, ticker = time.timer("1ms"), time.ticker("20ms")
					for j = 1, 20 do
						local timeout = time.after("50us")
						channel.select{timer:channel():case_receive(), ticker:channel():case_receive(), timeout:case_receive()}
						timer:reset((j % 3) .. "ms")
						ticker:reset("10ms")
					end
					timer:stop()
					ticker:stop()
					done:send(true)
				end)
			end
			for i = 1, 10 do done:receive() end
			return "done"`)
	}
	for i, pid := range pids {
		if i%2 == 0 {
			w.Kill(pid)
			continue
		}
		exit := w.End(pid)
		require.NoError(t, exit.Err)
		require.Equal(t, "done", exit.Value)
	}
}
