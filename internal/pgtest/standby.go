package pgtest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Standby returns the database as a standby of its private server has it, with further settings. The server restarts for
// it. The standby follows the server until it is promoted, has none of its replication slots, and ends with the test.
func (d *Database) Standby(tb testing.TB, settings map[string]string) *Database {
	tb.Helper()
	standby := &Server{Private: true, Version: d.Version, RootCert: d.RootCert, bin: d.bin, account: d.account}
	d.Restart(tb, false, func() {
		if err := standby.copy(d, settings); err != nil {
			tb.Fatalf("pgtest: standby: %v", err)
		}
	})
	tb.Cleanup(func() { _ = os.RemoveAll(standby.dir) })
	if err := standby.launch(); err != nil {
		tb.Fatalf("pgtest: standby: %v", errors.Join(err, standby.log()))
	}
	tb.Cleanup(standby.stop)
	return &Database{Server: standby, Name: d.Name, Pool: standby.open(tb, "/"+d.Name)}
}

// copy makes the standby of the files of a server that does not run.
func (s *Server) copy(primary *Database, settings map[string]string) (err error) {
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return err
	}
	if err := s.account.own(s.dir); err != nil {
		return err
	}
	cp := s.account.as(exec.Command("cp", "-R", "-p", primary.data(), s.data())) //nolint:noctx,gosec // it is short, and copies what the tests have made
	if out, err := cp.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	slots, err := filepath.Glob(filepath.Join(s.data(), "pg_replslot", "*"))
	if err != nil {
		return err
	}
	for _, slot := range slots {
		if err := os.RemoveAll(slot); err != nil {
			return err
		}
	}
	signal := filepath.Join(s.data(), "standby.signal")
	if err := errors.Join(os.WriteFile(signal, nil, 0o600), s.account.own(signal)); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	host, primaryPort, user, password := primary.Address()
	s.URL = url.URL{
		Scheme: primary.URL.Scheme, User: primary.URL.User, Path: primary.URL.Path,
		Host: net.JoinHostPort(host, strconv.Itoa(port)),
	}
	all := map[string]string{"primary_conninfo": fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s", host, primaryPort, user, password, primary.Name)}
	maps.Copy(all, settings)
	return s.configure(port, all)
}
