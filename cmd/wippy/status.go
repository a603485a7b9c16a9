package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/printable"
)

const statusHelp = `Tell what runs in an app that was started by wippy run: its entries, sources, streams, consumers and sinks.

The app is that of the current directory or of -C DIR, which is asked by its socket, or the one at --addr URL. On a
terminal the answer is for people; in a pipe, and with --json, each line is a JSON object whose field type says what it
describes: app, entry, source, stream, consumer or sink.

The exit code is 0 if every entry that is to run does, 3 if one does not, and 1 if no app can be asked.`

// notReady is the exit code of status if an entry does not run.
const notReady exitCode = 3

func (p *program) statusCommand() *cobra.Command {
	var from remote
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell what runs in an app, and how far its readers are",
		Long:  statusHelp,
		Args:  flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var status inspect.Status
			err := from.with("status", func(c *client) error { return c.get(cmd.Context(), "/api/status", &status) })
			if err != nil {
				return err
			}
			if asJSON || !isTerminal(p.stdout) {
				err = writeStatus(p.stdout, &status)
			} else {
				showStatus(p.stdout, paletteFor(p.stdout), &status)
			}
			if err == nil && !status.Ready {
				err = notReady
			}
			return err
		},
	}
	from.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON lines on a terminal, too")
	return cmd
}

// writeStatus writes a status for programs.
func writeStatus(w io.Writer, s *inspect.Status) error {
	err := writeLine(w, "app", struct {
		inspect.App
		Ready bool `json:"ready"`
	}{s.App, s.Ready})
	err = lines(err, w, "entry", s.Entries)
	err = lines(err, w, "source", s.Sources)
	err = lines(err, w, "stream", s.Streams)
	err = lines(err, w, "consumer", s.Consumers)
	return lines(err, w, "sink", s.Sinks)
}

// lines writes values after each other, unless there was an error.
func lines[T any](err error, w io.Writer, kind string, values []T) error {
	for i := range values {
		if err == nil {
			err = writeLine(w, kind, values[i])
		}
	}
	return err
}

// showStatus writes a status for people.
func showStatus(w io.Writer, p palette, s *inspect.Status) {
	ready := p.paint(green, "ready")
	if !s.Ready {
		ready = p.paint(red, "not ready")
	}
	fmt.Fprintf(w, "%s: %s, process %d, for %s\n\n", printable.Line(s.App.Dir), ready, s.App.PID, agoText(s.App.StartedAt))
	entries := table{headings: []string{"ENTRY", "KIND", "STATE", "FOR", ""}}
	for _, e := range s.Entries {
		entries.add(plainCell(e.ID), plainCell(e.Kind), stateCell(e.State), plainCell(agoText(e.Since)), why(e.Error))
	}
	entries.write(w, p)
	sources := table{headings: []string{"SOURCE", "STATE", "LSN", "STREAMS", "TRANSACTIONS", "LOG", ""}}
	for _, one := range s.Sources {
		transactions, log := "", ""
		if one.Stats != nil {
			transactions, log = strconv.FormatUint(one.Stats.Transactions, 10), bytesText(one.Stats.LogBytes)
		}
		sources.add(plainCell(one.ID), stateCell(string(one.State)), plainCell(one.LSN), plainCell(strconv.Itoa(one.Admission.Active)),
			plainCell(transactions), plainCell(log), why(one.Error))
	}
	sources.write(w, p)
	streams := table{headings: []string{"STREAM", "READER", "CONSUMER", "SELECTS", "FOR", "LAG", ""}}
	for _, one := range s.Streams {
		streams.add(plainCell(one.ID), plainCell(one.Reader), plainCell(one.Consumer), plainCell(selects(&one)), plainCell(agoText(one.Since)),
			plainCell(lagText(one.LagBytes)), snapshotCell(&one))
	}
	streams.write(w, p)
	consumerTable(s.Consumers).write(w, p)
	sinks := table{headings: []string{"SINK", "STATE", "SOURCE", "DESTINATION", "PUBLISHED", "PARKED", "LAG", ""}}
	for _, one := range s.Sinks {
		sinks.add(plainCell(one.ID), stateCell(string(one.State)), plainCell(one.Source), plainCell(one.Destination),
			plainCell(strconv.FormatUint(one.Published, 10)), parkedCell(one.Parked), plainCell(lagText(one.LagBytes)), why(one.Error))
	}
	sinks.write(w, p)
}

func consumerTable(all []inspect.Consumer) *table {
	t := &table{headings: []string{"CONSUMER", "SOURCE", "READER", "ACKNOWLEDGED", "LAG", "TRANSACTIONS", ""}}
	for _, one := range all {
		reader := plainCell(one.Reader)
		if !one.Connected {
			reader = cell{"none", yellow}
		}
		transactions := "?"
		if one.LagTransactions != nil {
			transactions = strconv.FormatInt(*one.LagTransactions, 10)
		}
		note := cell{}
		if one.Snapshot {
			note = cell{"its snapshot is not acknowledged", faint}
		}
		t.add(plainCell(one.Name), plainCell(one.Source), reader, plainCell(agoText(one.AckedAt)+" ago"), plainCell(lagText(one.LagBytes)),
			plainCell(transactions), note)
	}
	return t
}

// why is the cell of an error; the log has the lines that are left out.
func why(err *inspect.Failure) cell {
	if err == nil {
		return cell{}
	}
	first, _, _ := strings.Cut(err.Message, "\n")
	return cell{first, red}
}

// parkedCell tells how many changes are put aside.
func parkedCell(n uint64) cell {
	if n == 0 {
		return plainCell("0")
	}
	return cell{strconv.FormatUint(n, 10), yellow}
}

// selects says what a stream selects.
func selects(s *inspect.Stream) string {
	tables, ops := "all tables", ""
	if s.Tables != nil {
		tables = strings.Join(s.Tables, ",")
	}
	if s.Ops != nil {
		words := make([]string, len(s.Ops))
		for i, op := range s.Ops {
			words[i] = string(op)
		}
		ops = " " + strings.Join(words, ",")
	}
	if s.Schema {
		ops += " +" + string(api.OpSchema)
	}
	return tables + ops
}

func snapshotCell(s *inspect.Stream) cell {
	if !s.Snapshot {
		return cell{}
	}
	if s.SnapshotTotal != nil {
		return cell{fmt.Sprintf("snapshot: %d of %d rows", s.SnapshotRows, max(s.SnapshotRows, *s.SnapshotTotal)), cyan}
	}
	return cell{fmt.Sprintf("snapshot: %d rows", s.SnapshotRows), cyan}
}
