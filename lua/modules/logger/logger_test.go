package logger_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	"github.com/wippy-cdc/runtime/lua/modules/logger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// records runs body and returns what it logged, without what differs from run to run.
func records(t *testing.T, body string) []string {
	t.Helper()
	w := scripttest.New(t, logger.New(), errorsmodule.New())
	w.Value(body)
	text := regexp.MustCompile(`time=\S+ `).ReplaceAllString(w.Log.String(), "")
	text = regexp.MustCompile(`pid=\S+`).ReplaceAllString(text, "pid=#")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func TestLevelsAndFields(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`level=DEBUG msg=one process=app:test pid=#`,
		`level=INFO msg="two words" process=app:test pid=# a=1 b=x c=true d=0.5`,
		`level=WARN msg=three process=app:test pid=# list="[1 2]" table=map[k:v]`,
		`level=ERROR msg=four process=app:test pid=# err="it broke"`,
	}, records(t, `
		local logger = require("logger")
		logger.debug("one")
		logger.info("two words", {b = "x", a = 1, d = 0.5, c = true})
		logger.warn("three", {list = {1, 2}, table = {k = "v"}})
		logger.error("four", {err = errors.new("it broke")})`))
}

func TestACallWithAColonIsTheSame(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`level=INFO msg=one process=app:test pid=# a=1`,
		`level=INFO msg=two process=app:test pid=# logger=x b=2 c=3`,
	}, records(t, `
		local logger = require("logger")
		logger:info("one", {a = 1})
		logger:named("x"):with({b = 2}):info("two", {c = 3})`))
}

func TestWithAndNamedDoNotChangeTheirOrigin(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`level=INFO msg=child process=app:test pid=# logger=a.b x=2 y=1 z=3`,
		`level=INFO msg=sibling process=app:test pid=# logger=a x=1 y=1`,
		`level=INFO msg=origin process=app:test pid=#`,
	}, records(t, `
		local logger = require("logger")
		local parent = logger.named("a").with({x = 1, y = 1})
		parent.named("b").with({x = 2}).info("child", {z = 3})
		parent.info("sibling")
		logger.info("origin")`))
}

func TestAFieldOfTheCallReplacesThatOfWith(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{`level=INFO msg=m process=app:test pid=# x=2`},
		records(t, `require("logger").with({x = 1}).info("m", {x = 2})`))
}

func TestWrongArgumentsAreRaised(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, logger.New())
	for call, want := range map[string]string{
		`l.info()`:                            `bad argument #1 to info (message must be a string, not nil)`,
		`l.info({})`:                          `message must be a string, not a table`,
		`l:info(5)`:                           `bad argument #2 to info (message must be a string, not 5)`,
		`l.info("m", 5)`:                      `fields must be a table, not 5`,
		`l.warn("m", {1})`:                    `fields must have strings as keys, not 1`,
		`l.debug("m", {f = print})`:           `field f: a function cannot leave its process`,
		`local t = {} t.t = t l.error("", t)`: `field t: t: table contains itself`,
		`l.with("x")`:                         `fields must be a table, not "x"`,
		`l.named("")`:                         `name must be a string that is not empty, not ""`,
		`l.named(nil)`:                        `name must be a string that is not empty, not nil`,
	} {
		require.ErrorContains(t, w.Failure(`local l = require("logger") `+call), want, call)
	}
	require.Empty(t, w.Log.String())
}
