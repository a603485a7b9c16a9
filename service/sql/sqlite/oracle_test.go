package sqlite_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// witnessed lists the tables, with their first columns, whose triggers write down what happens to each row. What they
// write is captured as well, so that every transaction brings a second account of itself, made by SQLite.
func witnessed() map[string][]string {
	return map[string][]string{
		"users": {"id", "name", "age"}, "places": {"x", "y", "what"}, "totals": {"a", "b", "sum", "note"}, "later": {"id", "user"},
	}
}

const witnesses = "witnesses"

// witnessSchema must follow the triggers of the tables, so that its own run first.
func witnessSchema() string {
	var all strings.Builder
	all.WriteString("CREATE TABLE " + witnesses + " (t, op, old1, old2, old3, old4, new1, new2, new3, new4);\n")
	for _, table := range slices.Sorted(maps.Keys(witnessed())) {
		for _, op := range []string{"INSERT", "UPDATE", "DELETE"} {
			values := "'" + table + "', '" + strings.ToLower(op) + "'" +
				valuesOf("old.", op != "INSERT", witnessed()[table]) + valuesOf("new.", op != "DELETE", witnessed()[table])
			fmt.Fprintf(&all, "CREATE TRIGGER %[1]s_%[2]s_%[3]s AFTER %[3]s ON %[2]s BEGIN INSERT INTO %[1]s VALUES (%[4]s); END;\n",
				witnesses, table, op, values)
		}
	}
	return all.String()
}

// valuesOf lists four columns of an image, NULL for those that there are not.
func valuesOf(prefix string, has bool, columns []string) string {
	var list strings.Builder
	for c := range 4 {
		value := "NULL"
		if has && c < len(columns) {
			value = prefix + columns[c]
		}
		list.WriteString(", " + value)
	}
	return list.String()
}

// heard is what was captured of a transaction, and what its witnesses say, by table.
func heard(all []api.Change) (captured, told map[string][]string) {
	captured, told = map[string][]string{}, map[string][]string{}
	for _, c := range all {
		name := c.Table.Name
		if name == witnesses && c.Op == api.OpInsert {
			table := c.After[0].Bytes()
			told[table] = append(told[table], fmt.Sprint(c.After[1].Bytes(), images(c.After[2:6]), images(c.After[6:10])))
		}
		if columns := len(witnessed()[name]); columns > 0 && c.Op != api.OpTruncate && c.Op != api.OpSchema {
			captured[name] = append(captured[name], fmt.Sprint(string(c.Op), images(first(c.Before, columns)), images(first(c.After, columns))))
		}
	}
	return captured, told
}

// first returns the first n values of an image, and NULL for up to four.
func first(image []sqlapi.Value, n int) []sqlapi.Value {
	four := make([]sqlapi.Value, 4)
	copy(four, image[:min(n, len(image))])
	return four
}

func images(row []sqlapi.Value) string {
	var b strings.Builder
	for _, v := range row {
		fmt.Fprintf(&b, " %s %q", v.Type(), fmt.Sprint(v.Any()))
	}
	return b.String()
}

// bearWitness compares the two accounts of a transaction.
func bearWitness(t tb, all []api.Change, when string) {
	captured, told := heard(all)
	require.Equal(t, told, captured, "%s: what triggers saw differs from what was captured", when)
}
