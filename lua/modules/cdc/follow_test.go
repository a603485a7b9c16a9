package cdc_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	processmodule "github.com/wippy-cdc/runtime/lua/modules/process"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

// scripted is a source whose subscriptions go as a test says, one after the other.
type scripted struct {
	fakeSource
	mu   sync.Mutex
	runs []subscription
	opts []api.StreamOptions
	acks []api.Position
	told []string
}

// subscription is refused, or a stream of changes that ends with a cause or stays open.
type subscription struct {
	refused error
	changes []*api.Change
	cause   error
}

func scriptedWorld(t *testing.T, s *scripted) *scripttest.World {
	t.Helper()
	return scripttest.New(t, cdcmodule.New(s, encode.New()), channel.New(), errorsmodule.New(), processmodule.New())
}

func (s *scripted) Subscribe(_ context.Context, _ registry.ID, opts api.StreamOptions) (api.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.runs[len(s.opts)]
	s.opts = append(s.opts, opts)
	if next.refused != nil {
		return nil, next.refused
	}
	stream := &scriptedStream{source: s, cause: next.cause}
	stream.fakeStream.source, stream.rest, stream.ready = &s.fakeSource, next.changes, make(chan struct{}, 1)
	return stream, nil
}

func (s *scripted) Consumers(registry.ID) ([]api.ConsumerInfo, error) {
	return []api.ConsumerInfo{
		{Name: "a", Cursor: "g-1", Connected: true, LagBytes: 7, LagTransactions: -1}, {Name: "b", Snapshot: true, LagBytes: -1, LagTransactions: 3},
	}, nil
}

func (s *scripted) Forget(_ context.Context, id registry.ID, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "nobody" {
		return errs.New(errs.NotFound, "no consumer")
	}
	s.told = append(s.told, id.String()+" "+name)
	return nil
}

func (s *scripted) Reset(_ context.Context, id registry.ID, name string, start api.Start) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "nobody" {
		return errs.New(errs.NotFound, "no consumer")
	}
	s.told = append(s.told, id.String()+" "+name+" "+start.String()+" "+start.Generation())
	return nil
}

type scriptedStream struct {
	fakeStream
	source *scripted
	cause  error
}

func (s *scriptedStream) Poll() (*api.Change, error) {
	c, err := s.fakeStream.Poll()
	if c == nil && err == nil {
		err = s.cause
	}
	return c, err
}

func (s *scriptedStream) Ack(p api.Position) error {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.acks = append(s.source.acks, p)
	return nil
}

var usersTable = &sqlapi.Table{Schema: "public", Name: "users", Columns: []sqlapi.Column{{Name: "id"}}, Key: []int{0}}

// inserts returns transactions of two inserts each.
func inserts(sequences ...uint64) (changes []*api.Change) {
	for _, sequence := range sequences {
		tx := &api.Transaction{Source: scripttest.ID("pg"), Generation: "g", Sequence: sequence, LSN: "0/1"}
		for i := range 2 {
			changes = append(changes, &api.Change{
				Op: api.OpInsert, Table: usersTable, Transaction: tx, Index: i, Last: i == 1,
				After: []sqlapi.Value{sqlapi.IntegerValue(int64(sequence)*10 + int64(i))},
			})
		}
	}
	return changes
}

var (
	errPasses = errs.New(errs.Unavailable, "the source was stopped")
	errGap    = &api.GapError{Cause: api.GapRetention, After: api.Behind(1), Before: api.Behind(2), Source: scripttest.ID("pg"), Generation: "g"}
	errStays  = errs.New(errs.Invalid, "a fault")
)

// followed is a script that follows the source and returns what its handler was told, and why follow has ended.
const followed = fakePrelude + `
	local seen = {}
	local function id(change) return change.op == "insert" and change.after.id or change.op end
	local ok, e = pcall(cdc.follow, "pg", %s, function(change) seen[#seen + 1] = id(change) end)
	seen[#seen + 1] = tostring(ok) .. " " .. tostring(e)
	return seen`

func (s *scripted) follow(t *testing.T, options string) any {
	t.Helper()
	return scriptedWorld(t, s).Value(strings.Replace(followed, "%s", options, 1))
}

func TestFollowGoesOnAfterEndsThatPass(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{
		{refused: errPasses},
		{changes: inserts(1), cause: errPasses},
		{changes: inserts(2, 3), cause: errs.New(errs.Conflict, "there is one")},
		{changes: inserts(4), cause: errStays},
	}}
	require.Equal(t, []any{int64(10), int64(11), int64(20), int64(21), int64(30), int64(31), int64(40), int64(41), "false a fault"},
		s.follow(t, `{consumer = "search", tables = {"users"}}`))
	require.Equal(t, []api.Position{{Sequence: 1, Index: 1}, {Sequence: 2, Index: 1}, {Sequence: 3, Index: 1}, {Sequence: 4, Index: 1}}, s.acks,
		"once for each transaction")
	for _, opts := range s.opts {
		require.Equal(t, "search", opts.Consumer)
		require.Equal(t, []string{"users"}, opts.Tables)
		require.Zero(t, opts.Start)
	}
}

func TestFollowBeginsAnewAfterAGap(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{{changes: inserts(1), cause: errGap}, {refused: errPasses}, {cause: errStays}}}
	require.Equal(t, []any{int64(10), int64(11), "false a fault"}, s.follow(t, `{consumer = "search", snapshot = false}`))
	require.Equal(t, []api.Start{api.Live(), api.Snapshot(), api.Snapshot()}, []api.Start{s.opts[0].Start, s.opts[1].Start, s.opts[2].Start})
}

func TestFollowWithoutAConsumerBeginsAnewAfterEachEnd(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{{changes: inserts(1), cause: errPasses}, {cause: errStays}}}
	require.Equal(t, []any{int64(10), int64(11), "false a fault"}, s.follow(t, `nil`))
	require.Equal(t, []api.Start{{}, api.Snapshot()}, []api.Start{s.opts[0].Start, s.opts[1].Start})
	require.Empty(t, s.acks)
}

func TestFollowRaisesTheErrorOfItsHandler(t *testing.T) {
	t.Parallel()
	for handler, want := range map[string]string{
		`calls = calls + 1; error("no room")`:                                 "no room",
		`calls = calls + 1; return nil, errors.new("no room")`:                "no room",
		`calls = calls + 1; return errors.new("no room")`:                     "no room",
		`calls = calls + 1; if calls < 3 then error("x") end; error("third")`: "third",
	} {
		s := &scripted{runs: []subscription{{changes: inserts(1)}}}
		got := scriptedWorld(t, s).List(fakePrelude + `
			local calls = 0
			local ok, e = pcall(cdc.follow, "pg", {consumer = "search"}, function(change) ` + handler + ` end)
			return {ok, tostring(e), calls}`)
		require.Equal(t, false, got[0])
		require.Contains(t, got[1], want)
		require.Equal(t, int64(3), got[2], "it is tried three times")
		require.Empty(t, s.acks, "nothing is skipped")
		_, open := s.counts()
		require.Equal(t, -1, open, "the stream is closed: it was never counted")
	}
	s := &scripted{runs: []subscription{{changes: inserts(1), cause: errStays}}}
	require.Equal(t, []any{int64(2), "a fault"}, scriptedWorld(t, s).Value(fakePrelude+`
		local calls = 0
		local _, e = pcall(cdc.follow, "pg", {consumer = "search", attempts = 2}, function(change)
			if change.after.id == 11 then calls = calls + 1; if calls == 1 then error("once") end end
		end)
		return {calls, e:message()}`))
	require.Len(t, s.acks, 1)
}

func TestFollowEndsWhenItsProcessIsCancelled(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"while it waits for a change": ``,
		"while it waits to try again": `error("again")`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{runs: []subscription{{changes: inserts(1)}}}
			steps := scriptedWorld(t, s).NewSteps(scripttest.Plain(), fakePrelude+`
				local cancelled = false
				local done = cdc.follow("pg", {consumer = "search", attempts = 1000}, function(change)
					if not cancelled then
						cancelled = true
						steps.step()
						process.cancel(process.pid(), "1h")
					end
					`+body+`
				end)
				return done`)
			require.Empty(t, steps.Next())
			require.Equal(t, true, steps.End())
		})
	}
}

func TestFollowRefusesWrongArguments(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, &scripted{})
	for call, want := range map[string]string{
		`cdc.follow("pg", {}, 5)`:                         "the handler is 5, must be a function",
		`cdc.follow("pg", 5, print)`:                      `cdc: follow "app:pg": options must be a table, not 5`,
		`cdc.follow("pg", {attempts = 0}, print)`:         "attempts is 0, must be a whole number, at least 1",
		`cdc.follow("pg", {after = "x"}, print)`:          "after is for streams whose position a script keeps: give consumer",
		`cdc.follow("pg", {consumers = "search"}, print)`: `key "consumers" is not known`,
		`cdc.follow(5, {}, print)`:                        "the ID is 5",
		`cdc.reset("pg")`:                                 "string expected",
		`cdc.reset("pg", "a")`:                            `cursor, "live" or "snapshot" expected, got nil`,
		`cdc.reset("pg", "a", {})`:                        `cursor, "live" or "snapshot" expected, got a table`,
		`cdc.forget("pg")`:                                "string expected",
		`ok(cdc.stream("pg", {consumer = "s"})):ack(5)`:   "change or cursor expected, got 5",
		`ok(cdc.stream("pg", {consumer = 5}))`:            "consumer is 5, must be a string",
		`ok(cdc.stream("pg", {after = {}}))`:              "after is a table, must be a string",
		`ok(cdc.stream("pg", {after = "g-0000000000000003-00000002", snapshot = true}))`: "snapshot and after are both given",
		`ok(cdc.stream("pg", {after = "no cursor"}))`:                                    `"no cursor" is no cursor: take the field cursor of a change as it is`,
		`ok(ok(cdc.stream("pg", {})):ack("g-1"))`:                                        `"g-1" is no cursor`,
		`ok(ok(cdc.stream("pg", {consumer = "s"})):ack())`:                               "change or cursor expected, got nil",
	} {
		require.ErrorContains(t, w.Failure(fakePrelude+call), want, call)
	}
}

func TestAckAndEach(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{{changes: inserts(1, 2), cause: errStays}, {changes: inserts(3)}}}
	require.Equal(t, []any{
		[]any{int64(10), int64(11), int64(20), int64(21)}, "a fault", true, "INVALID", "INVALID", "INVALID", "INVALID",
	}, scriptedWorld(t, s).Value(fakePrelude+`
		local stream = ok(cdc.stream("pg", {consumer = "search", after = nil}))
		local early = select(2, stream:ack("g-0000000000000001-00000000"))
		local seen, acked = {}, true
		local _, why = pcall(function()
			for change in ok(stream:channel()):each() do
				seen[#seen + 1] = change.after.id
				acked = acked and stream:ack(change)
			end
		end)
		local foreign = select(2, stream:ack("h-0000000000000001-00000000"))
		ok(stream:close())
		local closed = select(2, stream:ack("g-0000000000000001-00000000"))
		local plain = ok(cdc.stream("pg"))
		local changes = ok(plain:channel())
		local without = select(2, plain:ack(changes:receive()))
		ok(plain:close())
		for _ in changes:each() do error("it was closed") end
		return {seen, why:message(), acked, early:kind(), foreign:kind(), closed:kind(), without:kind()}`))
	require.Len(t, s.acks, 4)
	require.Contains(t, s.opts[0].Reader, "of app:")
}

func TestConsumersAndForget(t *testing.T) {
	t.Parallel()
	s := &scripted{}
	require.Equal(t, []any{
		[]any{"a", "g-1", true, false, int64(7), "nil"}, []any{"b", "", false, true, "nil", int64(3)}, true, "NOT_FOUND",
	}, scriptedWorld(t, s).Value(fakePrelude+`
		local list = {}
		for i, c in ipairs(ok(cdc.consumers("pg"))) do
			list[i] = {c.name, c.cursor, c.connected, c.snapshot, c.lag_bytes or "nil", c.lag_transactions or "nil"}
		end
		list[3] = ok(cdc.forget("pg", "a"))
		list[4] = select(2, cdc.forget("pg", "nobody")):kind()
		return list`))
	require.Equal(t, []string{"app:pg a"}, s.told)
}

func TestReset(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{{refused: errGap}}}
	require.Equal(t, []any{true, true, true, "NOT_FOUND", "INVALID", `cdc: reset "a" of "app:pg": "later" is no cursor: take the field cursor of a change as it is`},
		scriptedWorld(t, s).Value(fakePrelude+`
		local _, gap = ok(cdc.stream("pg", {consumer = "a"})):channel()
		local list = {ok(cdc.reset("pg", "a", gap:details().before)), ok(cdc.reset("pg", "a", "live")), ok(cdc.reset("pg", "a", "snapshot"))}
		list[4] = select(2, cdc.reset("pg", "nobody", "live")):kind()
		local _, e = cdc.reset("pg", "a", "later")
		list[5], list[6] = e:kind(), e:message()
		return list`))
	require.Equal(t, []string{"app:pg a after " + api.Behind(2).String() + " g", "app:pg a live ", "app:pg a snapshot "}, s.told)
}

func TestFollowTellsThatItTriesAgain(t *testing.T) {
	t.Parallel()
	s := &scripted{runs: []subscription{
		{refused: errPasses},
		{changes: inserts(1), cause: errGap},
		{refused: errPasses},
		{refused: errPasses},
		{refused: errPasses},
		{refused: errPasses},
		{cause: errStays},
	}}
	w := scriptedWorld(t, s)
	w.Value(strings.Replace(followed, "%s", `{consumer = "search"}`, 1))
	var told []string
	for line := range strings.Lines(w.Log.String()) {
		if _, rest, ok := strings.Cut(line, "cdc.follow subscribes again: its stream has ended, or could not begin\""); ok {
			require.Contains(t, line, "level=WARN")
			told = append(told, rest)
		}
	}
	require.Len(t, told, 3, "the first failure, the first after something was handled, and the fifth in a row")
	require.Contains(t, told[0], `source=app:pg failures=1 snapshot=false error="the source was stopped"`)
	require.Contains(t, told[1], `failures=1 snapshot=true error="cdc: source \"app:pg\": changes were lost: retention`)
	require.Contains(t, told[2], `failures=5 snapshot=true error="the source was stopped"`)
}

// A process that has left follow is terminated at once again when it is asked to end.
func TestFollowLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]string{
		"an error of the source":  `cdc.follow("pg", {consumer = "search"}, function() end)`,
		"an error of the handler": `cdc.follow("pg", {consumer = "search", attempts = 1}, function() error("no") end)`,
		"a wrong option":          `cdc.follow("pg", {consumers = "search"}, function() end)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{runs: []subscription{{changes: inserts(1), cause: errStays}}}
			w := scriptedWorld(t, s)
			exit := w.Run(fakePrelude + `
				if pcall(function() ` + call + ` end) then error("it does not fail") end
				process.cancel(process.pid(), "1h")
				channel.new():receive()`)
			require.Equal(t, errs.Canceled, errs.KindOf(exit.Err), exit.Err)
		})
	}
}

func TestMarkersOfASnapshot(t *testing.T) {
	t.Parallel()
	tx := &api.Transaction{Source: scripttest.ID("pg"), Generation: "g", Sequence: 5, LSN: "0/5"}
	s := &scripted{runs: []subscription{{changes: []*api.Change{{Op: api.OpBegin, Transaction: tx}, {Op: api.OpEnd, Transaction: tx, Last: true}}}}}
	require.Equal(t, []any{"begin", false, "g-0000000000000005-40000000", "nil", "end", true, "g-0000000000000005-7fffffff", "nil"}, scriptedWorld(t, s).Value(fakePrelude+`
		local changes = ok(ok(cdc.stream("pg", {snapshot = true, markers = true})):channel())
		local list = {}
		for i = 1, 2 do
			local c = changes:receive()
			list[#list + 1], list[#list + 2] = c.op, c.last
			list[#list + 1], list[#list + 2] = c.cursor, tostring(c.table)
		end
		return list`))
	require.True(t, s.opts[0].Markers)
}
