package main_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

func TestChangesForPeople(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 250e6).Format("15:04:05.000")
	for _, c := range []struct{ change, line string }{
		{
			`{"op":"insert","relation":"users","after":{"id":1,"name":"ada","note":null},"key":{"id":1},"timestamp":1700000000.25}`,
			`insert   users id=1 name="ada" note=null`,
		},
		{
			`{"op":"update","relation":"users","before":{"id":1,"name":"ada","age":36},"after":{"id":1,"name":"ida","age":36},"key":{"id":1},"timestamp":1700000000.25}`,
			`update   users id=1 name="ada"→"ida"`,
		},
		{ // the old row is not known, as on Postgres
			`{"op":"update","relation":"shop.users","after":{"id":1,"name":"ida"},"key":{"id":1},"timestamp":1700000000.25}`,
			`update   shop.users id=1 id=1 name="ida"`,
		},
		{`{"op":"delete","relation":"users","before":{"id":1},"key":{"id":1},"timestamp":1700000000.25}`, `delete   users id=1`},
		{`{"op":"truncate","relation":"users","timestamp":1700000000.25}`, `truncate users`},
		{
			`{"op":"insert","relation":"a\\u001b[2J","after":{"b\\u001b":"\\u001b[2J","long":"` + strings.Repeat("x", 99) + `"},"timestamp":1700000000.25}`,
			`insert   a\x1b[2J b\x1b="\u001b[2J" long="` + strings.Repeat("x", 59) + `…`,
		},
	} {
		change := strings.ReplaceAll(c.change, `\\u`, `\u`)
		require.Equal(t, at+" "+c.line, wippy.ChangeText(false, change))
		require.Contains(t, wippy.ChangeText(true, change), "\x1b[")
	}
}

func TestABarTellsRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	require.Equal(t, "[============            ]  50% 10 changes, 1/s, 10s left", wippy.CatchingUp("10 changes, 1/s", 50, 100, 10*time.Second))
	require.Equal(t, "[                        ]   0% none", wippy.CatchingUp("none", 0, 100, time.Second))
	require.Equal(t, "[========================] 100% all, 0s left", wippy.CatchingUp("all", 100, 100, time.Second))
}

func TestEventsAreReadAsBrowsersDo(t *testing.T) {
	t.Parallel()
	body := "retry: 2000\n\nid: start\n\n:\n\nid: one\ndata: {\"a\": 1}\n\n: comment\nevent: gap\ndata: {}\n\nid: cut\ndata: off"
	all, err := wippy.ReadEvents(t.Context(), io.NopCloser(strings.NewReader(body)))
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "the app has ended the connection")
	require.Equal(t, [][3]string{{"start", "", ""}, {"one", "", `{"a": 1}`}, {"", "gap", "{}"}}, all)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	_, err = wippy.ReadEvents(ctx, io.NopCloser(strings.NewReader(body)))
	require.ErrorIs(t, err, stop)
}
