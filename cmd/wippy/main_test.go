package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

// leakChecked fails the run if goroutines are left after the tests.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"wippy": wippy.Main})
}

// eventually runs a command until its exit code is the first argument and its output has the second.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: eventually code pattern program [args...]")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	deadline := time.After(2 * time.Minute)
	for {
		err := ts.Exec(args[2], args[3:]...)
		ended, failed := errors.AsType[*exec.ExitError](err)
		if (err == nil && code == 0 || failed && ended.ExitCode() == code) && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			ts.Fatalf("%v: %v", args, err)
		}
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"eventually": eventually,
		},
		Setup: func(env *testscript.Env) error {
			// A program with race detector waits for a second at its end otherwise.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
	})
}
