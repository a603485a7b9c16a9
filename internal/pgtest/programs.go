package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// errNotInstalled is why there is no private server, which a machine with another server to use need not have.
var errNotInstalled = errors.New("no Postgres server is installed")

// programs is a directory with the programs of one server.
type programs struct {
	bin string
	// version is the server's own, for instance "15.14".
	version string
}

// programsOf asks the server in a directory for its version.
func programsOf(bin string) (programs, error) {
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output() //nolint:noctx,gosec // it is one of the directories below
	if err != nil {
		return programs{}, fmt.Errorf("ask the server in %s for its version: %w", bin, err)
	}
	// postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
	_, after, _ := strings.Cut(string(out), ") ")
	version, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	if version == "" {
		return programs{}, fmt.Errorf("the server in %s says that its version is %q", bin, out)
	}
	return programs{bin, version}, nil
}

// newest returns what the directories hold, the newest version first. A directory without a server that runs is left out.
func newest(dirs []string) []programs {
	var all []programs
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if p, err := programsOf(dir); err == nil {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b programs) int { return slices.Compare(numbers(b.version), numbers(a.version)) })
	return all
}

// numbers reads a version like 15.14, or 19beta1, which is older than 19.0.
func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		n, _ := strconv.Atoi(part[:digits])
		all = append(all, n)
		if digits < len(part) {
			all = append(all, -1)
		}
	}
	return all
}

// installed lists the servers of this machine: those of the usual packages, that in PATH, and those that `make test-postgres` has
// unpacked.
var installed = sync.OnceValue(func() []programs { //nolint:gochecknoglobals // it does not change while tests run
	patterns := []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"}
	if root := moduleRoot(); root != "" {
		patterns = append(patterns, filepath.Join(root, ".tools/postgres/*/bin"))
	}
	var dirs []string
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // the patterns are valid
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return newest(dirs)
})

// moduleRoot returns the directory of go.mod above the working directory, "" without one.
func moduleRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// find returns the server that BinVariable names, else the newest that is installed.
func find() (programs, error) {
	if dir := os.Getenv(BinVariable); dir != "" {
		p, err := programsOf(dir)
		if err != nil {
			return p, fmt.Errorf("%s: %w", BinVariable, err)
		}
		return p, nil
	}
	if all := installed(); len(all) > 0 {
		return all[0], nil
	}
	return programs{}, fmt.Errorf("%w on this %s machine; type: sudo apt-get install postgresql, or make test-postgres", errNotInstalled, runtime.GOOS)
}

// Program returns the path of a client program: that of the server, else that of the newest server that comes with it.
func Program(name string) (string, error) {
	server, err := find()
	if err != nil {
		return "", err
	}
	var problem error
	for _, p := range append([]programs{server}, installed()...) {
		path := filepath.Join(p.bin, name)
		if _, err = os.Stat(path); err == nil {
			return path, nil
		}
		problem = cmp.Or(problem, err)
	}
	return "", problem
}
