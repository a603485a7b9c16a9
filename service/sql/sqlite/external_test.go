package sqlite_test

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// told returns what the transactions that r has seen since tell, one line per change.
func told(t *testing.T, r *recording) []string {
	t.Helper()
	var lines []string
	for _, tx := range r.take(t) {
		for _, c := range changes(t, tx) {
			words := []string{string(c.Op), c.Table.Name}
			for _, v := range c.After {
				words = append(words, strconv.FormatInt(v.Int64(), 10))
			}
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return lines
}

// Another connection commits, changes the schema or not, and then the schema changes here: nothing is lost, and
// columns are those of the moment.
func TestSchemaChangesAfterAnotherConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other, here string
		want        []string
	}{
		"drop after rows":         {"INSERT INTO x VALUES (1)", "DROP TABLE t", []string{"truncate t", "schema t"}},
		"drop after a new table":  {"CREATE TABLE y (a)", "DROP TABLE t", []string{"truncate t", "schema t"}},
		"drop after a new column": {"ALTER TABLE t ADD COLUMN more DEFAULT 5", "DROP TABLE t", []string{"truncate t", "schema t"}},
		"drop of what is gone":    {"DROP TABLE t", "DROP TABLE IF EXISTS t", nil},
		"alter after rows":        {"INSERT INTO x VALUES (1)", "ALTER TABLE t ADD COLUMN more DEFAULT 5", []string{"schema t"}},
		"row after a new column":  {"ALTER TABLE t ADD COLUMN more DEFAULT 5", "INSERT INTO t (a) VALUES (2)", []string{"insert t 2 5"}},
		"create after a new column": {
			"ALTER TABLE t ADD COLUMN more DEFAULT 5", "CREATE TABLE z AS SELECT * FROM t", []string{"schema z", "insert z 1 5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			mustExec(t, db.Pool(), "CREATE TABLE t (a)", "CREATE TABLE x (a)", "CREATE TABLE wippy_cdc_offsets (a)", "INSERT INTO t VALUES (1)")
			r := record(t, db)
			mustExec(t, db.Pool(), "UPDATE t SET a = 1")
			r.take(t)
			require.NoError(t, db.WithSideConnection(t.Context(), func(ctx context.Context, connection *sql.DB) error {
				_, err := connection.ExecContext(ctx, c.other)
				return err
			}))
			mustExec(t, db.Pool(), c.here)
			require.Equal(t, c.want, told(t, r))
			mustExec(t, db.Pool(), "INSERT INTO x VALUES (9)")
			require.Equal(t, []string{"insert x 9"}, told(t, r))
			require.Empty(t, r.lost)
		})
	}
}
