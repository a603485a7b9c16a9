package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

const tailHelp = `Print the changes of a source of a running app as they come, until a signal.

The app is that of the current directory or of -C DIR, or the one at --addr URL. A source need not be named if the app
has one, and its namespace need not if no other source has the name. On a terminal changes are printed for people (text),
in a pipe as lines of JSON (json).

When the app ends, or the source is replaced, tail waits for it and goes on: behind the last change on a durable source,
and with what commits from then on where nothing is kept, which it says on standard error.

The exit code is 4 if changes were lost (a gap), 1 if something else is wrong, and 128 and the number of the signal.`

// lostChanges is the exit code of tail after a gap.
const lostChanges exitCode = 4

// text is the format for people.
const text = "text"

// tail is a run of the command.
type tail struct {
	p       *program
	client  *client
	palette palette
	source  string
	// query is what the first stream is asked for; from then on it goes on behind cursor where that can be.
	query      url.Values
	format     string
	replayable bool
	cursor     string
	progress   *progress
}

func (p *program) tailCommand() *cobra.Command {
	var from remote
	var tables, ops []string
	var snapshot bool
	var after, format string
	cmd := &cobra.Command{
		Use:               "tail [source]",
		Short:             "Print changes as they come",
		Long:              tailHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: from.completeSources,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				if format = string(api.FormatJSON); isTerminal(p.stdout) {
					format = text
				}
			}
			t := &tail{p: p, palette: paletteFor(p.stdout), format: format, query: make(url.Values)}
			if known := tailFormats(); !slices.Contains(known, format) {
				return fmt.Errorf("tail: --format %q is not known%s", format, suggest.Among(format, known))
			}
			t.ask("tables", tables)
			t.ask("ops", ops)
			if err := t.beginAt(snapshot, cmd.Flags().Changed("after"), after); err != nil {
				return err
			}
			return t.run(cmd.Context(), &from, args)
		},
	}
	from.flags(cmd)
	cmd.Flags().StringSliceVar(&tables, "tables", nil, "print changes of these `TABLES` only")
	cmd.Flags().StringSliceVar(&ops, "ops", nil, "print these operations only: insert, update, delete, truncate")
	cmd.Flags().BoolVar(&snapshot, "snapshot", false, "begin with the rows as they are")
	cmd.Flags().StringVar(&after, "after", "", "begin behind a `CURSOR`, on a durable source")
	_ = cmd.RegisterFlagCompletionFunc("tables", from.completeTables) // the flag is there
	cmd.Flags().StringVar(&format, "format", "", "json, debezium, cloudevents, flat, or text for people")
	return cmd
}

// tailFormats are those that --format knows.
func tailFormats() []string {
	all := []string{text}
	for _, format := range api.Formats() {
		all = append(all, string(format))
	}
	return all
}

func (t *tail) ask(name string, values []string) {
	if values != nil {
		t.query.Set(name, strings.Join(values, ","))
	}
}

// beginAt says where the first stream begins. One that said nothing of snapshots would begin as the entry says: with the one
// that a source has for the first stream of the app.
func (t *tail) beginAt(snapshot, resumes bool, after string) error {
	switch {
	case resumes && after == "":
		return errors.New("tail: --after is empty: give a cursor, or leave it out")
	case resumes && snapshot:
		return errors.New("tail: --snapshot and --after are both given: begin with the rows as they are or behind a cursor, not both")
	case resumes:
		t.query.Set("after", after)
	default:
		t.query.Set("snapshot", strconv.FormatBool(snapshot))
	}
	return nil
}

func (t *tail) run(ctx context.Context, from *remote, args []string) (err error) {
	if t.client, err = from.connect("tail"); err != nil {
		return err
	}
	defer t.client.close()
	t.progress = newProgress(t.p)
	defer t.progress.end()
	if err = t.choose(ctx, args); err == nil {
		t.lookForTables(ctx)
		err = t.follow(ctx)
	}
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return exitCode(cause.code())
	}
	if errors.Is(err, syscall.EPIPE) { // the reader of the output has enough
		return nil
	}
	return err
}

// The pauses between attempts to reach an app that is away.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 2 * time.Second
)

// follow reads streams, one after the other, until ctx is done or one ends for good.
func (t *tail) follow(ctx context.Context) error {
	ever, waiting, pause := false, false, shortestPause
	for {
		opened, err := t.stream(ctx, waiting)
		if opened {
			ever, waiting, pause = true, false, shortestPause
		}
		switch {
		// An app that ends, or has just begun, has no sources.
		case ctx.Err() != nil || !errs.Retryable(err) && (!ever || !errs.Is(err, errs.NotFound)):
			return err
		case !waiting:
			waiting = true
			t.say("%s; waiting for it", strings.TrimPrefix(err.Error(), "tail: "))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// stream reads one stream to its end, and reports whether it was opened.
func (t *tail) stream(ctx context.Context, again bool) (opened bool, err error) {
	query, how := t.next()
	response, err := t.client.send( //nolint:bodyclose // read.close does
		ctx, http.MethodGet, "/api/sources/"+url.PathEscape(t.source)+"/changes?"+query.Encode(), nil,
		map[string]string{"Accept": "text/*"}) // events; clients that ask for them by name are told errors as events
	if err != nil {
		return false, err
	}
	if again {
		t.say("%s runs again: %s", t.source, how)
	}
	read := newEvents(response.Body)
	defer read.close()
	stop := context.AfterFunc(ctx, read.close)
	defer stop()
	t.progress.begin(ctx, t)
	for {
		e, err := read.next(ctx)
		if err != nil {
			return true, err
		}
		if err := t.take(e); err != nil {
			return true, err
		}
	}
}

// next returns what the next stream is asked for, and what that means in words.
func (t *tail) next() (query url.Values, how string) {
	query = maps.Clone(t.query)
	query.Set("format", t.format)
	if t.format == text {
		query.Set("format", string(api.FormatJSON))
	}
	_, p, err := api.ParseCursor(t.cursor)
	switch {
	case t.cursor == "":
		return query, "begins as at first"
	case err == nil && p.InSnapshot():
		return query, "its snapshot begins anew"
	}
	query.Del("snapshot")
	query.Del("after")
	if !t.replayable {
		query.Set("snapshot", "false")
		return query, "goes on with what commits from now on; what was committed meanwhile is not told, for it is not durable"
	}
	query.Set("after", t.cursor)
	return query, "goes on where it was"
}

// take prints a change, or returns why the stream ends.
func (t *tail) take(e *event) error {
	switch e.name {
	case "":
		if t.cursor = e.id; e.data == "" {
			return nil
		}
		t.progress.count()
		return t.print(e.data)
	case "gap":
		var gap inspect.Gap
		if err := json.Unmarshal([]byte(e.data), &gap); err != nil {
			return fmt.Errorf("tail: read a gap: %w", err)
		}
		t.say("changes were lost (%s) between %s and %s: --snapshot begins anew, --after %[3]s goes on without them",
			gap.Cause, gap.After, gap.Before)
		return lostChanges
	default:
		var end inspect.Failure
		if err := json.Unmarshal([]byte(e.data), &end); err != nil {
			return fmt.Errorf("tail: read why the stream has ended: %w", err)
		}
		return &errs.Error{Kind: end.Kind, Again: end.Retryable, Err: errors.New(end.Message)}
	}
}

func (t *tail) print(data string) error {
	line := data
	if t.format == text {
		line = changeText(t.palette, []byte(data))
	}
	t.progress.clear()
	_, err := io.WriteString(t.p.stdout, line+"\n")
	return err
}

// say tells the user what becomes of the stream.
func (t *tail) say(format string, args ...any) {
	t.progress.clear()
	fmt.Fprintf(t.p.messages, "wippy: tail: %s\n", printable.Line(fmt.Sprintf(format, args...)))
}
