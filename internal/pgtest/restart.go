package pgtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Restart stops a private server at once, as a crash would if crash is set, calls down, and starts it again.
func (s *Server) Restart(tb testing.TB, crash bool, down func()) {
	tb.Helper()
	if !s.Private {
		tb.Skip("needs a private server")
	}
	keep := filepath.Join(s.dir, "keep")
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	if crash {
		if out, err := s.command("pg_ctl", "stop", "--pgdata", s.data(), "--mode", "immediate").CombinedOutput(); err != nil {
			tb.Fatalf("pgtest: stop: %v\n%s", err, out)
		}
	}
	_ = s.lifeline.Close() // the pipe of a shell that has ended
	_ = s.process.Wait()   // how the shell ends says nothing
	down()
	if err := os.Remove(keep); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	if err := s.launch(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}

// Restart is Server.Restart, after which the pool has no connections of before.
func (d *Database) Restart(tb testing.TB, crash bool, down func()) {
	tb.Helper()
	d.Pool.SetMaxIdleConns(0)
	d.Server.Restart(tb, crash, down)
	d.Pool.SetMaxIdleConns(2)
}
