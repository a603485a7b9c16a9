package http

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

func (s *Server) status() inspect.Status {
	dir, err := filepath.Abs(s.settings.Dir)
	if err != nil {
		dir = s.settings.Dir
	}
	entries := s.entries()
	return inspect.Status{
		App:     inspect.App{Dir: dir, PID: os.Getpid(), Reloads: s.settings.Reloads, Version: s.settings.Version, StartedAt: s.began},
		Ready:   len(notRunning(entries)) == 0,
		Entries: entries, Sources: s.sources(), Streams: s.streams(), Consumers: s.consumers(), Sinks: s.sinks(),
	}
}

func (s *Server) entries() []inspect.Entry {
	all := []inspect.Entry{}
	for _, e := range s.settings.Entries() {
		all = append(all, inspect.Entry{
			ID: e.ID, Kind: e.Kind, State: string(e.State), Since: e.Since, Attempts: e.Attempts, Error: inspect.FailureOf(e.Err),
		})
	}
	return all
}

// notRunning returns the entries that neither run nor have done what they were to do.
func notRunning(entries []inspect.Entry) []inspect.Entry {
	left := []inspect.Entry{}
	for _, e := range entries {
		if state := supervisor.State(e.State); state != supervisor.Running && state != supervisor.Completed {
			left = append(left, e)
		}
	}
	return left
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	left := notRunning(s.entries())
	status := http.StatusOK
	if len(left) > 0 {
		status = http.StatusServiceUnavailable
	}
	show(w, r, status, inspect.Readiness{Ready: len(left) == 0, NotRunning: left})
}

func (s *Server) sources() []inspect.Source {
	stats := make(map[string]*inspect.Stats)
	for _, one := range s.settings.Sources.Stats() {
		stats[one.Source.String()] = statsOf(&one)
	}
	all := []inspect.Source{}
	for _, info := range s.settings.Sources.Sources() {
		all = append(all, sourceShape(&info, stats[info.ID.String()]))
	}
	return all
}

func (s *Server) source(r *http.Request) (any, error) {
	id, err := sourceOf(r)
	if err != nil {
		return nil, err
	}
	for _, one := range s.sources() {
		if one.ID == id.String() {
			return one, nil
		}
	}
	return nil, cmp.Or(s.settings.Sources.Check(id, api.StreamOptions{}), errs.New(errs.NotFound, "http: there is no source %q", id))
}

// tables lists those whose changes a source captures.
func (s *Server) tables(r *http.Request) (any, error) {
	id, err := sourceOf(r)
	if err != nil {
		return nil, err
	}
	all, err := s.settings.Sources.Tables(r.Context(), id)
	return inspect.TableList{Tables: all}, err
}

func sourceShape(i *api.SourceInfo, stats *inspect.Stats) inspect.Source {
	return inspect.Source{
		ID: i.ID.String(), Kind: string(i.Kind), State: i.State, Error: inspect.FailureOf(i.Err), Engine: i.Engine, DBResource: i.DBResource.String(),
		Generation: i.Generation, Epoch: i.Epoch, LSN: i.LSN, Cursor: i.Cursor, Tables: i.Tables, Snapshot: i.Snapshot, Slot: i.Slot, Publication: i.Publication,
		CheckpointError: inspect.FailureOf(i.CheckpointErr), Admission: inspect.Admission(i.Admission), Capabilities: inspect.Capabilities(i.Capabilities), Stats: stats,
	}
}

func statsOf(s *api.Stats) *inspect.Stats {
	return &inspect.Stats{
		Transactions: s.Transactions, Changes: s.Changes, LogBytes: s.LogBytes, Streams: s.Streams, LagBytes: s.LagBytes, Ended: s.Ended,
		SpilledBytes: s.SpilledBytes, SnapshotRows: s.SnapshotRows, CheckpointFailures: s.CheckpointFailures,
		WALBytes: s.WALBytes, RetainedWALBytes: s.RetainedWALBytes,
	}
}

func (s *Server) streams() []inspect.Stream {
	all := []inspect.Stream{}
	for _, i := range s.settings.Sources.Streams() {
		all = append(all, inspect.Stream{
			ID: fmt.Sprintf("%s/%d", i.Source, i.ID), Source: i.Source.String(), Reader: i.Reader, Consumer: i.Consumer,
			Tables: i.Tables, Ops: i.Ops, Schema: i.Schema, Since: i.Since, Snapshot: i.Snapshot, SnapshotRows: i.SnapshotRows,
			SnapshotTotal: unlessZero(i.SnapshotTotal), Cursor: i.Cursor, LagBytes: known(i.LagBytes),
		})
	}
	return all
}

// consumers lists those of the sources that run: those of others are known when they do.
func (s *Server) consumers() []inspect.Consumer {
	all := []inspect.Consumer{}
	for _, source := range s.settings.Sources.Sources() {
		for _, i := range source.Consumers {
			all = append(all, inspect.Consumer{
				Source: source.ID.String(), Name: i.Name, Cursor: i.Cursor, AckedAt: i.AckedAt, Snapshot: i.Snapshot, Connected: i.Connected,
				Reader: i.Reader, LagBytes: known(i.LagBytes), LagTransactions: known(i.LagTransactions),
			})
		}
	}
	return all
}

func (s *Server) sinks() []inspect.Sink {
	all := []inspect.Sink{}
	if s.settings.Sinks == nil {
		return all
	}
	for _, i := range s.settings.Sinks.Sinks() {
		all = append(all, inspect.Sink{
			ID: i.ID.String(), Kind: string(i.Kind), Source: i.Source.String(), Destination: i.Destination, Format: i.Format, State: i.State,
			Since: i.Since, Error: inspect.FailureOf(i.Err), Attempts: i.Attempts, Cursor: i.Cursor, Published: i.Stats.Published, Failed: i.Stats.Failed,
			Retried: i.Stats.Retried, Parked: i.Stats.Parked, LagBytes: known(i.Stats.LagBytes), LagTransactions: known(i.Stats.LagTransactions),
			Delay: delayOf(&i.Stats.Delay),
		})
	}
	return all
}

// unlessZero returns n, nil if it is 0, which says that it is not known.
func unlessZero(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// known returns n, nil if it is not known.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func delayOf(h *api.Histogram) inspect.Delay {
	d := inspect.Delay{Seconds: h.Sum}
	for _, n := range h.Counts {
		d.Count += n
	}
	return d
}
