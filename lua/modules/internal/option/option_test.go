package option_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

type options struct {
	flag  bool
	word  string
	any   string
	whole int64
	open  int64
	words []string
	names []string
}

func decode(t *testing.T, expression string) (options, error) {
	t.Helper()
	L := lua.NewState()
	defer L.Close()
	require.NoError(t, L.DoString("return "+expression))
	var o options
	err := option.Decode(L.Get(-1),
		option.Flag("flag", &o.flag),
		option.Word("word", &o.word, "red", "green"),
		option.Word("any", &o.any),
		option.Whole("whole", &o.whole, 1, 10),
		option.Whole("open", &o.open, 1, 0),
		option.Words("words", &o.words, []string{"a", "b"}),
		option.Words("names", &o.names, nil),
	)
	return o, err
}

func TestDecodeFillsWhatIsGiven(t *testing.T) {
	t.Parallel()
	o, err := decode(t, `{flag = true, word = "red", any = "x", whole = 10, open = 9007199254740992, words = {"b", "a"}, names = {"t"}}`)
	require.NoError(t, err)
	require.Equal(t, options{true, "red", "x", 10, 1 << 53, []string{"b", "a"}, []string{"t"}}, o)
}

func TestNilAndEmptyTablesChangeNothing(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{`nil`, `{}`, `{flag = nil}`} {
		o, err := decode(t, expression)
		require.NoError(t, err)
		require.Equal(t, options{}, o)
	}
}

func TestWrongOptionsAreToldWithWhatIsAccepted(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`5`:                         `options must be a table, not 5`,
		`"x"`:                       `options must be a table, not "x"`,
		`{flg = 1}`:                 `key "flg" is not known: use flag, word, any, whole, open, words, names`,
		`{7}`:                       `key 1 is not known: use flag, word, any, whole, open, words, names`,
		`{flag = 1}`:                `flag is 1, must be true or false`,
		`{word = "blue"}`:           `word is "blue", must be one of red, green`,
		`{word = {}}`:               `word is a table, must be one of red, green`,
		`{any = 1}`:                 `any is 1, must be a string`,
		`{whole = 0}`:               `whole is 0, must be a whole number from 1 to 10`,
		`{whole = 11}`:              `whole is 11, must be a whole number from 1 to 10`,
		`{whole = 1.5}`:             `whole is 1.5, must be a whole number from 1 to 10`,
		`{whole = "3"}`:             `whole is "3", must be a whole number from 1 to 10`,
		`{open = -1}`:               `open is -1, must be a whole number, at least 1`,
		`{open = 1/0}`:              `open is +Inf, must be a whole number, at least 1`,
		`{words = "a"}`:             `words is "a", must be a list of strings`,
		`{words = {}}`:              `words is empty: name at least one, or leave it out for all`,
		`{words = {"c"}}`:           `words has "c", accepted are a, b`,
		`{words = {"a", 2}}`:        `words must be a list of strings, its element 2 is 2`,
		`{words = {x = "a"}}`:       `words must be a list of strings, its element 1 is nil`,
		`{names = {""}}`:            `names has an empty name`,
		`{flag = 1, b = 1, a = {}}`: `key "a" is not known: use flag, word, any, whole, open, words, names; key "b" is not known: use flag, word, any, whole, open, words, names; flag is 1, must be true or false`,
	} {
		_, err := decode(t, expression)
		require.EqualError(t, err, want)
		require.True(t, errs.Is(err, errs.Invalid))
	}
}

func TestDescribeShortensLongStrings(t *testing.T) {
	t.Parallel()
	require.Equal(t, `"`+strings.Repeat("x", 64)+`"…`, option.Describe(lua.LString(strings.Repeat("x", 100))))
	require.Equal(t, "a function", option.Describe(&lua.LFunction{}))
	require.Equal(t, "nil", option.Describe(lua.LNil))
}
