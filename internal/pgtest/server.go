package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Password is that of the superuser of a private server. No message may ever contain it.
const Password = "hunter2-in-plain-sight"

// superuser is the first role of a private server.
const superuser = "boss"

// Server is a running Postgres server.
type Server struct {
	// URL is that of a superuser in the database postgres.
	URL url.URL
	// Private is whether the server may be restarted and configured at will.
	Private bool
	// Version is that of the server, for instance "15.14".
	Version string
	// RootCert is the certificate to trust on TLS, "" on a server that is not private.
	RootCert string

	dir     string
	bin     string
	account account
	// lifeline ends the server, and removes its directory, when it is closed: by stop or by the end of this process.
	lifeline io.Closer
	process  *exec.Cmd
}

func external(dsn string) (*Server, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s must be a URL like postgres://user:password@host:5432/postgres", DSNVariable)
	}
	if password, _ := u.User.Password(); u.User.Username() == "" || password == "" {
		return nil, fmt.Errorf("%s must have a user and a password, because what happens with a wrong one is tested", DSNVariable)
	}
	return &Server{URL: *u}, nil
}

// start makes and starts a private server with further settings.
func start(settings map[string]string) (*Server, error) {
	found, err := find()
	if err != nil {
		return nil, fmt.Errorf("%w, or set %s", err, DSNVariable)
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Private: true, Version: found.version, dir: dir, bin: found.bin, account: who}
	if err := s.prepare(settings); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.launch(); err != nil {
		return nil, errors.Join(err, s.log(), os.RemoveAll(dir))
	}
	return s, nil
}

// prepare makes the cluster.
func (s *Server) prepare(settings map[string]string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.URL = url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres",
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o600); err != nil {
		return err
	}
	if err := s.account.own(s.dir, password); err != nil {
		return err
	}
	initdb := s.command("initdb", "--pgdata", s.data(), "--username", superuser, "--pwfile", password, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("initdb: %w: the server runs as another user than root: let all users read %s and the directories above it, "+
			"or unpack the server elsewhere and name its directory in %s", err, s.bin, BinVariable)
	} else if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.certify(); err != nil {
		return err
	}
	return s.configure(port, settings)
}

func (s *Server) configure(port int, settings map[string]string) error {
	all := map[string]string{
		"port": strconv.Itoa(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": s.dir,
		"fsync": "off", "full_page_writes": "off", "ssl": "on", "max_connections": "200",
		"wal_level": "logical", "logical_decoding_work_mem": "64kB", "max_replication_slots": "64", "max_wal_senders": "64",
	}
	var text strings.Builder
	maps.Copy(all, settings)
	for name, value := range all {
		fmt.Fprintf(&text, "%s = '%s'\n", name, value)
	}
	file, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	return errors.Join(err, file.Close())
}

// launch starts the server and waits until it accepts connections.
func (s *Server) launch() error {
	// The shell outlives this process when that is killed, and still stops the server.
	const script = `"$0/postgres" -D "$1/data" >>"$1/log" 2>&1 & cat >/dev/null; kill -INT $!; wait $!; [ -e "$1/keep" ] || rm -rf "$1"`
	s.process = s.account.as(exec.Command("/bin/sh", "-c", script, s.bin, s.dir)) //nolint:noctx,gosec // it ends with its input, and runs the programs found above
	input, err := s.process.StdinPipe()
	if err != nil {
		return err
	}
	s.lifeline = input
	if err := s.process.Start(); err != nil {
		return err
	}
	wait := s.command("pg_ctl", "status", "--pgdata", s.data())
	return poll(func() error {
		if _, err := s.ask("SHOW server_version"); err != nil {
			state, _ := again(wait).CombinedOutput()
			return fmt.Errorf("the server does not accept connections: %w; %s", err, state)
		}
		return nil
	})
}

// ask returns the answer to a query with one value. Not every package of a server has its client programs.
func (s *Server) ask(query string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL.String())
	if err != nil {
		return "", err
	}
	err = conn.QueryRow(ctx, query).Scan(&answer)
	return answer, errors.Join(err, conn.Close(ctx))
}

// stop ends a private server and removes it.
func (s *Server) stop() {
	if s.Private {
		_ = s.lifeline.Close()  // the pipe of a shell that has ended
		_ = s.process.Wait()    // how the shell ends says nothing
		_ = os.RemoveAll(s.dir) // the shell's part of it belongs to another account
	}
}

// log returns the last lines that the server has written, as an error.
func (s *Server) log() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return errors.New("server log:\n" + strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	return s.account.as(exec.Command(filepath.Join(s.bin, name), args...)) //nolint:noctx,gosec // short programs of the server's own
}

func again(c *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{Path: c.Path, Args: c.Args, Dir: c.Dir, SysProcAttr: c.SysProcAttr}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return 0, err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("listening on %v, which is not TCP", l.Addr())
	}
	return addr.Port, l.Close()
}

// String says which server it is.
func (s *Server) String() string {
	where := s.bin
	if !s.Private {
		where = "at " + s.URL.Host
	}
	return "PostgreSQL " + s.Version + " " + where
}
