// Package natstest gives tests a real NATS server with JetStream, which runs as a process of its own and can be killed,
// stopped and started again. It is built from its Go module by .ci/nats, unless WIPPY_TEST_NATS_SERVER names one.
package natstest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline is how long a server may take to listen.
const deadline = time.Minute

// program returns the path of the server.
var program = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // it does not change while tests run
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	command := exec.Command("bash", filepath.Join(root, ".ci", "nats")) //nolint:gosec // it is a script of this repository
	var problems bytes.Buffer
	command.Stderr = &problems
	path, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build a NATS server: %w: %s (or name one in WIPPY_TEST_NATS_SERVER)", err, problems.Bytes())
	}
	return string(bytes.TrimSpace(path)), nil
})

// moduleRoot returns the directory of go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Server is a NATS server. Its streams are kept over restarts.
type Server struct {
	t      testing.TB
	path   string
	dir    string
	port   int
	config []string

	// shell is the parent of the server, which it ends when its input does: when the test binary ends, however that is.
	shell *exec.Cmd
	input io.WriteCloser
	pid   int
}

// New returns a server that runs until the test ends. Lines are added to its configuration.
func New(tb testing.TB, config ...string) *Server {
	tb.Helper()
	path, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{t: tb, path: path, dir: tb.TempDir(), config: config, port: freePort(tb)}
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("the NATS server says:\n%s", s.log())
		}
	})
	s.Start()
	return s
}

// log returns the end of what the server has logged.
func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-4000, 0):])
}

// URL is where the server listens, after restarts too.
func (s *Server) URL() string { return "nats://" + s.address() }

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Start starts the server if it does not run, and waits until it listens.
func (s *Server) Start() {
	s.t.Helper()
	if s.shell != nil {
		return
	}
	file := filepath.Join(s.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\nserver_name: %q\njetstream: {store_dir: %q}\n%s\n",
		s.address(), s.name(), filepath.Join(s.dir, "store"), strings.Join(s.config, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	// What it prints is the process of the server.
	const script = `"$0" -c "$1/nats.conf" >>"$1/log" 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait`
	s.shell = exec.Command("/bin/sh", "-c", script, s.path, s.dir) //nolint:noctx,gosec // it ends with its input
	input, err := s.shell.StdinPipe()
	output, failed := s.shell.StdoutPipe()
	if err := errors.Join(err, failed, s.shell.Start()); err != nil {
		s.t.Fatal(err)
	}
	s.input = input
	if _, err := fmt.Fscan(output, &s.pid); err != nil {
		s.t.Fatal(err)
	}
	for until := time.Now().Add(deadline); !s.greets(); {
		if time.Now().After(until) {
			s.t.Fatalf("the NATS server does not start: %s", s.log())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// name tells the server from others.
func (s *Server) name() string {
	return "test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(s.port)
}

// greets reports whether the server answers.
func (s *Server) greets() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", s.address())
	if err != nil {
		return false
	}
	defer func() { _ = connection.Close() }() // it was only to look
	_ = connection.SetReadDeadline(time.Now().Add(time.Second))
	line, _ := bufio.NewReader(connection).ReadString('\n')
	return strings.HasPrefix(line, "INFO ") && strings.Contains(line, s.name())
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	s.t.Helper()
	if s.shell == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	_ = s.input.Close() // the shell waits for the server, and ends
	_ = s.shell.Wait()  // its exit code is that of the server
	s.shell = nil
}

// Freeze makes the server take connections and answer nothing, until Thaw is called.
func (s *Server) Freeze() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Thaw ends what Freeze began.
func (s *Server) Thaw() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Fatal(err)
	}
}

// freePort returns a port that nothing listens at.
func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // the server follows
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("%v is no address of TCP", listener.Addr())
	}
	return address.Port
}
