package cdc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestWrongOptionsAreErrorsOfStreamItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *api.SQLiteConfig) { c.Tables = []string{"users"} })
	for options, want := range map[string]string{
		`"users"`:                    `options must be a table, not "users"`,
		`{table = "users"}`:          `key "table" is not known: use tables, ops, snapshot, buffer, max_bytes, schema`,
		`{tables = "users"}`:         `tables is "users", must be a list of strings`,
		`{tables = {}}`:              `tables is empty: name at least one, or leave it out for all`,
		`{tables = {1}}`:             `tables must be a list of strings, its element 1 is 1`,
		`{tables = {""}}`:            `tables has an empty name`,
		`{ops = {"upsert"}}`:         `ops has "upsert", accepted are insert, update, delete, truncate`,
		`{ops = {"snapshot"}}`:       `ops has "snapshot", accepted are`,
		`{ops = "insert"}`:           `ops is "insert", must be a list of strings`,
		`{buffer = 0}`:               `buffer is 0, must be a whole number from 1 to 65536`,
		`{buffer = 65537}`:           `buffer is 65537, must be a whole number from 1 to 65536`,
		`{buffer = 1.5}`:             `buffer is 1.5, must be a whole number from 1 to 65536`,
		`{buffer = "64"}`:            `buffer is "64", must be a whole number`,
		`{max_bytes = 0}`:            `max_bytes is 0, must be a whole number, at least 1`,
		`{max_bytes = "16MiB"}`:      `max_bytes is "16MiB", must be a whole number`,
		`{snapshot = "yes"}`:         `snapshot is "yes", must be true or false`,
		`{schema = 1}`:               `schema is 1, must be true or false`,
		`{buffer = 0, bufer = 64}`:   `key "bufer" is not known`,
		`{ops = {"insert", x = {}}}`: `ops must be a list of strings, its element 2 is nil`,
	} {
		err := w.Failure(prelude + `cdc.stream("app:cdc", ` + options + `)`)
		require.ErrorContains(t, err, `cdc: stream "app:cdc": `, options)
		require.ErrorContains(t, err, want, options)
	}
	for options, want := range map[string]string{
		`{tables = {"orders"}}`:  `orders`,
		`{max_bytes = 67108865}`: `max_bytes is 67108865, must be 1 to the source's log_bytes (67108864)`,
	} {
		got := w.List(prelude + `return err(cdc.stream("app:cdc", ` + options + `))`)
		require.Equal(t, "INVALID", got[0], "it depends on the source: "+options)
		require.Contains(t, got[1], want, options)
	}
	require.Equal(t, 0, w.active())
}

func TestOptionsAtTheirBoundsAreAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Value(prelude + `
		for _, options in ipairs({
			{}, {snapshot = false, schema = false}, {buffer = 1}, {buffer = 65536}, {max_bytes = 1}, {max_bytes = 67108864},
			{tables = {"USERS", "main.orders"}}, {ops = {"insert", "update", "delete", "truncate"}},
		}) do
			local stream = ok(cdc.stream("app:cdc", options))
			ok(stream:channel())
			ok(stream:close())
		end
		ok(cdc.stream("cdc", nil))`)
}

func TestUnknownSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for argument, want := range map[string][2]string{
		`"app:nothing"`: {"NOT_FOUND", `cdc: source "app:nothing": no entry of kind db.cdc.sqlite or db.cdc.postgres has this ID; `},
		`"nothing"`:     {"NOT_FOUND", `cdc: source "app:nothing": `},
	} {
		got := w.List(prelude + `return err(cdc.stream(` + argument + `))`)
		require.Equal(t, want[0], got[0])
		require.Contains(t, got[1], want[1])
	}
	for argument, want := range map[string]string{
		`"a b"`: `bad argument #1 to stream ("a b" is not an entry ID: write namespace:name)`,
		`7`:     `bad argument #1 to stream (the ID is 7, must be a string like app:cdc)`,
		``:      `bad argument #1 to stream (the ID is nil, must be a string like app:cdc)`,
	} {
		require.ErrorContains(t, w.Failure(prelude+`cdc.stream(`+argument+`)`), want)
	}
}

func TestAStoppedSourceIsRefusedBySubscribing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	steps := w.NewSteps(scripttest.Plain(), prelude+`
		local stream = ok(cdc.stream("app:cdc"))
		steps.step()
		steps.step(err(stream:channel()))
		ok(stream:channel())
		return {stream:err() == nil, stream:close()}`)
	require.Empty(t, steps.Next())
	w.stop()
	refused := scripttest.AsList(t, steps.Next()[0])
	require.Equal(t, "UNAVAILABLE", refused[0])
	require.Contains(t, refused[1], `source "app:cdc" is not running`)
	w.stop = w.source("cdc", nil)
	defer w.stop()
	require.Equal(t, []any{true, true}, steps.End()) // a refused stream may try again
}

func TestAdmissionRefusesBySubscribing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *api.SQLiteConfig) { c.Subscriptions.MaxSubscriptions = 1 })
	got := w.List(prelude + `
		local first, second = ok(cdc.stream("app:cdc")), ok(cdc.stream("app:cdc"))
		ok(first:channel())
		local refused = err(second:channel())
		ok(first:close())
		ok(second:channel())
		return {refused, cdc.source("app:cdc").admission}`)
	refused := scripttest.AsList(t, got[0])
	require.Equal(t, "UNAVAILABLE", refused[0])
	require.Contains(t, refused[1], "max_subscriptions")
	require.Equal(t, map[string]any{"active": int64(1), "snapshots": int64(0), "rejected": int64(1), "reserved_bytes": int64(16 << 20)}, got[1])
}

func TestTheOneLiner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x)`)
	steps := w.NewSteps(scripttest.Plain(), prelude+`
		local s = cdc.stream("app:cdc"); s:receive() steps.step()
		local c = s:channel():receive()
		return c.after.x`)
	require.Empty(t, steps.Next())
	w.schema(`INSERT INTO a VALUES ('here')`)
	require.Equal(t, "here", steps.End())
}

func TestChannelIsAlwaysTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	require.Equal(t, []any{true, true, true, true, "nil", false}, w.Value(prelude+`
		local stream = ok(cdc.stream("app:cdc"))
		local ch = ok(stream:channel())
		local same = {stream:channel() == ch, stream:receive() == ch}
		same[3] = stream:close()
		same[4] = stream:channel() == ch
		local v, open = ch:receive()
		same[5], same[6] = tostring(v), open
		return same`))
}

func TestCloseIsIdempotentAndEndsTheChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x)`)
	require.Equal(t, []any{true, true, true, "nil", "nil", false, []any{"INVALID", `cdc: stream "app:cdc": it was closed`}, int64(0)}, w.Value(prelude+`
		local stream = ok(cdc.stream("app:cdc"))
		local ch = ok(stream:channel())
		ok(db:execute("INSERT INTO a VALUES (1), (2)"))
		ch:receive()
		local results = {stream:close(), stream:close(), stream:release()}
		local v, open = ch:receive() -- what was not received is gone
		results[4], results[5], results[6] = tostring(stream:err()), tostring(v), open
		local unused = ok(cdc.stream("app:cdc"))
		ok(unused:close())
		results[7] = err(unused:channel())
		results[8] = cdc.source("app:cdc").admission.active
		return results`))
}

func TestCloseWakesTheReceivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	require.Equal(t, []any{false, false, false}, w.Value(prelude+`
		local stream = ok(cdc.stream("app:cdc"))
		local ch, woken = ok(stream:channel()), channel.new(3)
		for i = 1, 3 do
			coroutine.spawn(function()
				local _, open = ch:receive()
				woken:send(open)
			end)
		end
		coroutine.spawn(function() ok(stream:close()) end)
		return {(woken:receive()), (woken:receive()), (woken:receive())}`))
}

func TestStreamsInASelect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x); CREATE TABLE b (x)`)
	require.Equal(t, []any{"b", "a", true}, w.Value(prelude+`
		local a = ok(ok(cdc.stream("app:cdc", {tables = {"a"}})):channel())
		local b = ok(ok(cdc.stream("app:cdc", {tables = {"b"}})):channel())
		local seen = {}
		for i, t in ipairs({"b", "a"}) do
			ok(db:execute("INSERT INTO " .. t .. " VALUES (1)"))
			local r = channel.select({a:case_receive(), b:case_receive()})
			seen[i] = r.value.table
		end
		seen[3] = channel.select({a:case_receive(), b:case_receive(), default = true}).default
		return seen`))
}

// However a source is stopped, its streams say so once and end.
func TestTheEndOfASourceIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	steps := w.NewSteps(scripttest.Plain(), prelude+`
		local stream = ok(cdc.stream("app:cdc"))
		local ch = ok(stream:channel())
		steps.step(stream:err() == nil)
		local e, open = ch:receive()
		local after, still = ch:receive()
		local result = {e:kind(), e:message(), e:retryable(), open, tostring(after), still, stream:err():message(), stream:close()}
		result[9] = stream:err():message()
		return result`)
	require.Equal(t, []any{true}, steps.Next())
	w.stop()
	const message = `cdc: source "app:cdc" was stopped or replaced; resubscribe once it runs`
	require.Equal(t, []any{"UNAVAILABLE", message, true, true, "nil", false, message, true, message}, steps.End())
}

func TestALaggardIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x)`)
	got := w.List(prelude + `
		local stream = ok(cdc.stream("app:cdc", {buffer = 1, max_bytes = 1000}))
		local ch = ok(stream:channel())
		local insert = ok(db:prepare("INSERT INTO a VALUES (?)"))
		while not stream:err() do ok(insert:execute({string.rep("x", 400)})) end
		local last
		repeat
			local v, open = ch:receive()
			last = open and v or last
		until not open
		return {last:kind(), last:retryable(), last:message(), stream:err():message()}`)
	require.Equal(t, []any{"UNAVAILABLE", true}, got[:2])
	require.Regexp(t, `stream fell behind: .* unread, limit 1000 bytes; read faster, raise max_bytes, or resubscribe with snapshot = true`, got[2])
	require.Equal(t, got[2], got[3])
}

// However a process ends, its streams are closed.
func TestTheEndOfAProcessClosesItsStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const open = prelude + `
		local streams = {}
		for i = 1, 3 do
			streams[i] = ok(cdc.stream("app:cdc"))
			ok(streams[i]:channel())
		end
		if cdc.source("app:cdc").admission.active ~= 3 then error("three streams are open") end
	`
	require.NoError(t, w.Run(open).Err)
	require.Equal(t, 0, w.active())
	require.Error(t, w.Run(open+`error("failed")`).Err)
	require.Equal(t, 0, w.active())
	steps := w.NewSteps(scripttest.Plain(), open+`steps.step() streams[1]:channel():receive()`)
	require.Empty(t, steps.Next())
	require.Equal(t, 3, w.active())
	require.True(t, errs.Is(steps.Kill().Err, errs.Canceled))
	require.Equal(t, 0, w.active())
}

func TestMethodsWantAColon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, method := range []string{"channel", "receive", "err", "close", "release"} {
		require.ErrorContains(t, w.Failure(prelude+`ok(cdc.stream("app:cdc"))[...]()`, method),
			"stream expected, call the method with a colon: stream:"+method+"()")
	}
}

// Many processes come and go while others write: every stream sees a prefix of the history in order.
func TestStreamsComeAndGoUnderAWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x INTEGER PRIMARY KEY)`)
	writer := w.Start(scripttest.Plain(), prelude+`while true do ok(db:execute("INSERT INTO a DEFAULT VALUES")) end`)
	reader := prelude + `
		for round = 1, 10 do
			local stream = ok(cdc.stream("app:cdc", {buffer = round, max_bytes = 1048576}))
			local last
			for _, change in ipairs(take(ok(stream:channel()), round * 3)) do
				local x = change.after.x
				if last and x ~= last + 1 then error("after " .. last .. " came " .. x) end
				last = x
			end
			if round % 2 == 0 then ok(stream:close()) end
		end`
	var ends []func()
	for range 8 {
		pid := w.Start(scripttest.Plain(), reader)
		ends = append(ends, func() { require.NoError(t, w.End(pid).Err) })
	}
	for _, end := range ends {
		end()
	}
	require.True(t, errs.Is(w.Kill(writer).Err, errs.Canceled))
	require.Equal(t, 0, w.active())
}
