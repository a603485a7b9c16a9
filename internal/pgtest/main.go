package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// DSNVariable names the environment variable that gives the server to use instead of a private one, as a URL of a
// superuser with a password.
const DSNVariable = "WIPPY_TEST_POSTGRES_DSN"

// BinVariable names the environment variable that gives the directory of the programs of the server to start.
const BinVariable = "WIPPY_TEST_POSTGRES_BIN"

// Runner runs the tests of a binary and then stops its server.
type Runner struct{ tests interface{ Run() int } }

// Main returns what a TestMain has to run instead of m.
func Main(m *testing.M) Runner { return Runner{m} }

// Run implements goleak.TestingM.
func (r Runner) Run() int {
	defer shared.stop()
	code := r.tests.Run()
	if s := shared.started(); s != nil {
		fmt.Println("pgtest:", s) //nolint:forbidigo // go test shows it with -v, and when a test has failed
	}
	return code
}

// shared is the server of this test binary.
var shared lazy //nolint:gochecknoglobals // the tests of a binary have nothing else in common

// lazy is a server that starts when it is needed.
type lazy struct {
	mu     sync.Mutex
	server *Server
	err    error
}

func (l *lazy) get() (*Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil && l.err == nil {
		if dsn := os.Getenv(DSNVariable); dsn != "" {
			if l.server, l.err = external(dsn); l.err == nil {
				l.server.Version, l.err = l.server.ask("SHOW server_version")
			}
		} else {
			l.server, l.err = start(nil)
		}
	}
	return l.server, l.err
}

// started returns the server if there is one.
func (l *lazy) started() *Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server
}

func (l *lazy) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server != nil {
		l.server.stop()
	}
	l.server = nil
}
