package suggest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/suggest"
)

func TestHintNamesWhatIsNear(t *testing.T) {
	for name, want := range map[string]string{
		"flie": "; did you mean file?", "FILE": "; did you mean file?", "busytimeout": "; did you mean busy_timeout?",
		"color": "", "f": "", "": "",
	} {
		require.Equal(t, want, suggest.Hint(name, []string{"file", "busy_timeout"}), name)
	}
}

func TestMissingTables(t *testing.T) {
	existing := []string{"main.users", "main.Orders", "sales.orders"}
	require.Empty(t, suggest.Missing([]string{"users", "ORDERS", "Sales.Orders", "main.users"}, existing))
	require.Equal(t, []string{"user; did you mean users?", "sales.users; did you mean sales.orders?", "x"},
		suggest.Missing([]string{"user", "users", "sales.users", "x"}, existing))
	require.Equal(t, []string{"x"}, suggest.Missing([]string{"x"}, nil))
}

func TestAmongListsWhatThereIsInstead(t *testing.T) {
	require.Equal(t, "; did you mean file?", suggest.Among("flie", []string{"file"}))
	require.Equal(t, "; there is none", suggest.Among("x", nil))
	require.Equal(t, "; there is only app:db", suggest.Among("app:storage", []string{"app:db"}))
	require.Equal(t, "; there are b1, b2", suggest.Among("something", []string{"b2", "b1"}))
	var many []string
	for i := range 32 {
		many = append(many, string([]byte{'a' + byte(i/26), 'a' + byte(i%26)}))
	}
	require.Contains(t, suggest.Among("something", many), "; there are aa, ab, ac, ")
	require.Contains(t, suggest.Among("something", many), ", bd and 2 more")
}
