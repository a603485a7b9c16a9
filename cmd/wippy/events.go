package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
)

// event is a server-sent event. A change has the ID that is its cursor and no name; without data it is where the stream begins.
type event struct{ id, name, data string }

// silence is how long nothing may come before a connection is taken for lost: something is sent every 15 seconds.
const silence = time.Minute

// events reads server-sent events.
type events struct {
	body  io.ReadCloser
	lines *bufio.Reader
	// watch closes the body when nothing has come for too long; it runs while an event is waited for.
	watch *time.Timer
}

func newEvents(body io.ReadCloser) *events {
	return &events{body: body, lines: bufio.NewReaderSize(body, 64<<10), watch: time.AfterFunc(silence, func() { _ = body.Close() })}
}

func (e *events) close() {
	e.watch.Stop()
	_ = e.body.Close() // it was read
}

// next returns the next event. The error is Unavailable if the connection was lost, and that of ctx if it is done.
func (e *events) next(ctx context.Context) (*event, error) {
	found := new(event)
	e.watch.Reset(silence)
	defer e.watch.Stop() // what comes next may take its time
	for {
		line, err := e.lines.ReadString('\n')
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, errs.New(errs.Unavailable, "the connection to the app was lost: %w", err)
		case err != nil:
			return nil, errs.New(errs.Unavailable, "the app has ended the connection")
		}
		e.watch.Reset(silence)
		line = strings.TrimSuffix(line, "\n")
		if line == "" && found.data+found.id != "" {
			return found, nil
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			found.id = value
		case "event":
			found.name = value
		case "data":
			found.data += value
		}
	}
}
