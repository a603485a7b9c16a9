package test_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	"github.com/wippy-cdc/runtime/lua/modules/test"
	timemodule "github.com/wippy-cdc/runtime/lua/modules/time"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs body on a terminal host with a clock that jumps when everything waits, and returns what it has printed.
func run(t *testing.T, body string) (printed string, exit process.Exit) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := scripttest.New(t, channel.New(), errorsmodule.New(), timemodule.New(), test.New())
		var err error
		exit, err = w.Wait(t.Context(), w.Start(scripttest.Terminal(), `local test, time = require("test"), require("time") `+body))
		require.NoError(t, err)
		printed = w.Out.String()
	})
	return printed, exit
}

// cases runs body as the function of a suite and returns what it has printed.
func cases(t *testing.T, body string) string {
	t.Helper()
	printed, exit := run(t, `return test.suite(function() `+body+` end)()`)
	require.NoError(t, exit.Err)
	return printed
}

// failure returns why a case with that body fails.
func failure(t *testing.T, body string) string {
	t.Helper()
	printed := cases(t, `test.case("c", function() `+body+` end)`)
	const before, after = "FAIL c: app:test:2: ", "\n0 passed, 1 failed\n"
	require.Greater(t, len(printed), len(before)+len(after), printed)
	require.Equal(t, before, printed[:len(before)])
	require.Equal(t, after, printed[len(printed)-len(after):])
	return printed[len(before) : len(printed)-len(after)]
}
