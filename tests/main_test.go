// Package tests runs the built program on whole apps, as a user does.
package tests_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// build makes dist/wippy as users do, and dist/wippy-plain without the tag.
var build = sync.OnceValue(func() error {
	for _, command := range [][]string{
		{"make", "--silent", "build-wippy-local"},
		{"go", "build", "-o", "dist/wippy-plain", "./cmd/wippy"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = ".."
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", command, err, output)
		}
	}
	return nil
})

// programs returns the directory with wippy and wippy-plain.
func programs(t *testing.T) string {
	t.Helper()
	require.NoError(t, build())
	dist, err := filepath.Abs("../dist")
	require.NoError(t, err)
	return dist
}

func TestScripts(t *testing.T) {
	t.Parallel()
	dist := programs(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", dist+string(filepath.ListSeparator)+env.Getenv("PATH"))
			return copyExamples(filepath.Join(env.WorkDir, "examples"))
		},
	})
}

// copyExamples copies the examples without what running them has left behind.
func copyExamples(to string) error {
	apps, err := filepath.Glob("../examples/*/src")
	for _, src := range apps {
		name := filepath.Base(filepath.Dir(src))
		err = errors.Join(err, os.CopyFS(filepath.Join(to, name, "src"), os.DirFS(src)))
	}
	return err
}
