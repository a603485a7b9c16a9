package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/internal/printable"
)

// logger returns the logger that the flags ask for.
func (p *program) logger() (*slog.Logger, error) {
	level := slog.LevelInfo
	if p.verbose {
		level = slog.LevelDebug
	}
	switch {
	case p.logFormat != "console" && p.logFormat != "json":
		return nil, fmt.Errorf("--log-format %q is not known: use console or json", p.logFormat)
	case p.silent && p.verbose:
		return nil, errors.New("-s and -v exclude each other")
	case p.silent:
		return slog.New(slog.DiscardHandler), nil
	case p.logFormat == "json":
		p.messages.notice = droppedJSON
		return slog.New(slog.NewJSONHandler(p.messages, &slog.HandlerOptions{Level: level})), nil
	default:
		return slog.New(&console{mu: new(sync.Mutex), w: p.messages, level: level}), nil
	}
}

// console writes a line per record for people to read: time, level, message, then attributes as key=value. Texts
// of several lines, such as tracebacks, follow indented on lines of their own.
type console struct {
	mu     *sync.Mutex
	w      io.Writer
	level  slog.Level
	prefix string // of keys, from groups
	attrs  []slog.Attr
}

var _ slog.Handler = (*console)(nil)

// Enabled implements slog.Handler.
func (c *console) Enabled(_ context.Context, level slog.Level) bool { return level >= c.level }

// WithAttrs implements slog.Handler.
func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	d := *c
	d.attrs = append(slices.Clip(c.attrs), prefixed(c.prefix, attrs)...)
	return &d
}

// WithGroup implements slog.Handler.
func (c *console) WithGroup(name string) slog.Handler {
	if name == "" {
		return c
	}
	d := *c
	d.prefix = c.prefix + name + "."
	return &d
}

func prefixed(prefix string, attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: prefix + a.Key, Value: a.Value}
	}
	return out
}

// Handle implements slog.Handler.
func (c *console) Handle(_ context.Context, r slog.Record) error {
	var line, block strings.Builder
	line.WriteString(r.Time.Format(time.TimeOnly + ".000"))
	fmt.Fprintf(&line, " %-5s %s", r.Level, printable.Line(r.Message))
	for _, a := range c.attrs {
		writeAttr(&line, &block, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&line, &block, c.prefix, a)
		return true
	})
	line.WriteByte('\n')
	line.WriteString(block.String())
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.w, line.String())
	return err
}

func writeAttr(line, block *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			writeAttr(line, block, prefix, inner)
		}
	default:
		text, key := value.String(), printable.Line(prefix+a.Key)
		if strings.Contains(text, "\n") {
			fmt.Fprintf(block, "    %s:\n", key)
			text = printable.Lines(text)
			for part := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
				fmt.Fprintf(block, "        %s\n", part)
			}
			return
		}
		if text == "" || strings.ContainsAny(text, " =\"") || !printable.Prints(text) {
			text = strconv.Quote(text)
		}
		fmt.Fprintf(line, " %s=%s", key, text)
	}
}
