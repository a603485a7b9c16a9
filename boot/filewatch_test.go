package boot_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// impatient is reloadable with services that are started again at once.
func impatient() string {
	const quickly = "lifecycle: {auto_start: true, restart: {initial_delay: 1ms, max_delay: 20ms}}}"
	return strings.NewReplacer(
		"one.db, lifecycle: {auto_start: true}}", "one.db, "+quickly,
		"tables: [a], lifecycle: {auto_start: true}}", "tables: [a], "+quickly,
	).Replace(reloadable)
}

// lostStream waits until the watcher has lost its stream and tells why.
func (r *running) lostStream(t *testing.T) string {
	t.Helper()
	r.stdout.wait(t, "ended\t")
	_, why, _ := strings.Cut(r.stdout.String(), "ended\t")
	return why
}

// SQLite would go on with a file that no program finds by its path any more.
func TestDatabaseFileIsMovedAwayAndPutBack(t *testing.T) {
	t.Parallel()
	r := start(t, impatient())
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	file := filepath.Join(r.settings.Dir, "one.db")
	require.NoError(t, os.Rename(file, file+".away"))
	r.log.wait(t, "was moved or deleted while it was open")
	require.Regexp(t, `^UNAVAILABLE\ttrue\tcdc: source "app:cdc": database "app:db" was closed`, r.lostStream(t))
	r.log.forget()
	r.log.wait(t, "was moved or deleted while the app was running; put it back")
	require.NoFileExists(t, file, "nothing is created in its place")

	r.stdout.forget()
	require.NoError(t, os.Rename(file+".away", file))
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "INSERT INTO a VALUES (2)")
	r.stdout.wait(t, "insert\ta\t2\n")
	require.Equal(t, "1 2", contents(t, file))
}

// contents lists the rows of table a.
func contents(t *testing.T, file string) string {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var rows string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT group_concat(n, ' ') FROM (SELECT n FROM a ORDER BY n)").Scan(&rows))
	return rows
}

// A source that has lost its database is tried again until there is one.
func TestSourceThatFailsIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, impatient())
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)")
	file := filepath.Join(r.settings.Dir, "one.db")
	require.NoError(t, os.Remove(file))
	r.log.wait(t, `service=app:cdc error="cdc: source \"app:cdc\": `)
	r.log.wait(t, "put it back")
	r.stdout.forget()
	r.change(t, "app.yaml", "one.db", "two.db")
	r.hup(t, reloaded)
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	r.stdout.wait(t, "insert\ta\t1\n")
}
