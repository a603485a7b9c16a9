package boot_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// SQLite would go on with a file that nobody finds any more.
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

func TestDatabaseFileIsReplaced(t *testing.T) {
	t.Parallel()
	r := start(t, impatient())
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	file := filepath.Join(r.settings.Dir, "one.db")
	db, err := sql.Open("sqlite3", file+".new")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE a (n); INSERT INTO a VALUES (7)")
	require.NoError(t, err)
	require.NoError(t, db.Close())

	r.stdout.forget()
	require.NoError(t, os.Rename(file+".new", file))
	r.log.wait(t, "was replaced by another while it was open")
	r.lostStream(t)
	r.log.wait(t, "is still that of its predecessor")
	require.NoError(t, os.Remove(file+"-wal"))
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "INSERT INTO a VALUES (8)")
	r.stdout.wait(t, "insert\ta\t8\n")
	require.Equal(t, "7 8", contents(t, file))
}

// A backup that is copied over the file of a running database: nothing more is written, and what comes after the next
// start is the backup.
func TestDatabaseFileIsOverwritten(t *testing.T) {
	t.Parallel()
	r := start(t, impatient())
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	file := filepath.Join(r.settings.Dir, "one.db")
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "VACUUM INTO '"+file+".backup'")
	require.NoError(t, err)
	r.execute(t, "INSERT INTO a VALUES (2)", "CREATE TABLE more (n)")
	_, err = db.ExecContext(t.Context(), "PRAGMA wal_checkpoint(FULL)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	r.execute(t, "INSERT INTO a VALUES (3)")
	r.stdout.wait(t, "insert\ta\t3\n")

	backup, err := os.ReadFile(file + ".backup")
	require.NoError(t, err)
	former, err := os.ReadFile(file)
	require.NoError(t, err)
	noticed := r.log.seen("was overwritten while it was open: ")
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	written := backup
	for waiting := true; waiting; {
		require.NoError(t, os.WriteFile(file, written, 0o600))
		select {
		case <-noticed:
			waiting = false
		case <-again.C:
			// It may have been taken for what the last checkpoint has written, if that was a moment ago.
			former, written = written, former
		case <-t.Context().Done():
			require.Fail(t, "it was never noticed")
		}
	}
	r.lostStream(t)
	r.log.wait(t, `msg="service has failed" service=app:db`)
	require.Contains(t, r.log.String(), "its write-ahead log was moved to ")
	require.Contains(t, r.log.String(), "put the file in place once more")
	r.log.forget()
	r.hup(t, "reloaded")
	r.log.wait(t, "was overwritten while it was open")
	now, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, written, now, "nothing was written to it")
	require.NoFileExists(t, file+"-wal")
	moved, err := filepath.Glob(file + "-wal.*")
	require.NoError(t, err)
	require.Len(t, moved, 1)
}

// What is in a log that was deleted is still in the open one.
func TestWriteAheadLogIsDeleted(t *testing.T) {
	t.Parallel()
	r := start(t, impatient())
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	r.stdout.wait(t, "insert\ta\t1\n")
	file := filepath.Join(r.settings.Dir, "one.db")
	r.stdout.forget()
	require.NoError(t, os.Remove(file+"-wal"))
	r.log.wait(t, "was not left alone while it was open: its -wal was deleted")
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
