package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// served is the file of an entry, and the database that is open.
type served struct {
	*sqlite.File
	t     *testing.T
	files *sqlite.Files
	path  string
	log   *bytes.Buffer
	db    *sqlite.DB
	// lost receives how the watch has ended.
	lost chan error
	stop context.CancelFunc
}

func serveFile(t *testing.T) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{t: t, path: filepath.Join(dir, "data.db"), log: new(bytes.Buffer)}
	s.files = sqlite.NewFiles(dir, slog.New(slog.NewTextHandler(s.log, nil)))
	s.File = s.entry()
	s.serve()
	s.execute("CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	return s
}

// entry returns the file as that of an entry of its own.
func (s *served) entry() *sqlite.File {
	cfg := &sqlapi.SQLiteConfig{File: "data.db"}
	cfg.SetDefaults()
	return s.files.File(registry.ID{Namespace: "app", Name: "db"}, cfg)
}

// serve opens the database and begins to watch.
func (s *served) serve() {
	s.t.Helper()
	db, err := s.Open(s.t.Context())
	require.NoError(s.t, err)
	ctx, stop := context.WithCancel(s.t.Context())
	s.db, s.stop, s.lost = db, stop, make(chan error, 1)
	go func() { s.lost <- s.Watch(ctx) }()
}

// ended waits until the watch has ended, closes the database and returns why.
func (s *served) ended() error {
	s.t.Helper()
	lost := <-s.lost
	s.stop()
	require.NoError(s.t, s.db.Close())
	return lost
}

// refused is why the database is not opened.
func (s *served) refused() error {
	s.t.Helper()
	_, err := s.Open(s.t.Context())
	require.Error(s.t, err)
	return err
}

func (s *served) execute(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		_, err := s.db.Pool().ExecContext(s.t.Context(), statement)
		require.NoError(s.t, err, statement)
	}
}

// rows lists those of table a.
func (s *served) rows() string {
	s.t.Helper()
	var rows string
	err := s.db.Pool().QueryRowContext(s.t.Context(), "SELECT group_concat(n, ' ') FROM (SELECT n FROM a ORDER BY n)").Scan(&rows)
	require.NoError(s.t, err)
	return rows
}

// beside runs statements on a database as another program does.
func (s *served) beside(path string, statements ...string) {
	s.t.Helper()
	other, err := sql.Open("sqlite3", path)
	require.NoError(s.t, err)
	other.SetMaxOpenConns(1)
	for _, statement := range statements {
		_, err := other.ExecContext(s.t.Context(), statement)
		require.NoError(s.t, err, statement)
	}
	require.NoError(s.t, other.Close())
}

func TestFileIsWatchedUntilItIsClosed(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	require.Contains(t, s.log.String(), `msg="database file created" file=`+s.path+" folder_created=false")
	s.log.Reset()
	for range 3 {
		s.stop()
		require.NoError(t, s.ended())
		require.NoFileExists(t, s.path+"-wal", "the connection of the watch is not the last one")
		s.serve()
		require.Equal(t, "1", s.rows())
	}
	s.stop()
	require.NoError(t, s.ended())
	require.Empty(t, s.log.String())
}

// SQLite would go on with a file that is not found at its path any more.
func TestFileIsMovedAwayAndPutBack(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	require.NoError(t, os.Rename(s.path, s.path+".away"))
	lost := s.ended()
	require.EqualError(t, lost, "the file "+s.path+" was moved or deleted while it was open")
	require.Equal(t, errs.Unavailable, errs.KindOf(lost))
	require.ErrorContains(t, s.refused(), "was moved or deleted while the app was running; put it back")
	require.NoFileExists(t, s.path, "nothing is created in its place")
	require.NoError(t, os.Rename(s.path+".away", s.path))
	s.serve()
	require.Equal(t, "1", s.rows())
	s.stop()
	require.NoError(t, s.ended())
}

func TestFileIsReplaced(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	s.beside(s.path+".new", "CREATE TABLE a (n)", "INSERT INTO a VALUES (7)")
	require.NoError(t, os.Rename(s.path+".new", s.path))
	require.ErrorContains(t, s.ended(), "was replaced by another while it was open")
	err := s.refused()
	require.ErrorContains(t, err, "is still that of its predecessor")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.NoError(t, os.Remove(s.path+"-wal"))
	s.serve()
	require.Equal(t, "7", s.rows())
	s.stop()
	require.NoError(t, s.ended())
}

// A backup that is copied over the file of a running database: nothing more is written, and what comes after the next
// start is the backup.
func TestFileIsOverwritten(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	s.beside(s.path, "VACUUM INTO '"+s.path+".backup'")
	s.execute("INSERT INTO a VALUES (2)", "CREATE TABLE more (n)", "INSERT INTO a VALUES (3)")
	s.beside(s.path, "PRAGMA wal_checkpoint(FULL)")
	s.execute("INSERT INTO a VALUES (4)")
	written, err := os.ReadFile(s.path + ".backup")
	require.NoError(t, err)
	former, err := os.ReadFile(s.path)
	require.NoError(t, err)
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	var lost error
	for lost == nil {
		require.NoError(t, os.WriteFile(s.path, written, 0o600)) // as cp does: the same file
		select {
		case lost = <-s.lost:
			require.Error(t, lost)
		case <-again.C:
			// It may have been taken for what the last checkpoint has written, if that was a moment ago.
			former, written = written, former
		}
	}
	s.lost <- lost
	require.ErrorContains(t, lost, "was overwritten while it was open: ")
	require.ErrorContains(t, lost, "; its write-ahead log was moved to "+s.path+"-wal.")
	require.ErrorContains(t, lost, "put the file in place once more")
	require.Equal(t, errs.Invalid, errs.KindOf(lost))
	_, err = s.db.Pool().ExecContext(t.Context(), "INSERT INTO a VALUES (5)")
	require.Error(t, err)
	require.Equal(t, lost, s.ended())

	require.ErrorContains(t, s.refused(), "was overwritten while it was open")
	_, err = s.entry().Open(t.Context())
	require.ErrorContains(t, err, "was overwritten while it was open", "other entries do not open it either")
	now, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.Equal(t, written, now, "nothing was written to it")
	require.NoFileExists(t, s.path+"-wal")
	moved, err := filepath.Glob(s.path + "-wal.*")
	require.NoError(t, err)
	require.Len(t, moved, 1)
}

// What is in a log that was deleted is still in the open one.
func TestLogOfAFileIsDeleted(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	require.NoError(t, os.Remove(s.path+"-wal"))
	require.ErrorContains(t, s.ended(), "was not left alone while it was open: its -wal was deleted")
	s.serve()
	require.Equal(t, "1", s.rows())
	s.stop()
	require.NoError(t, s.ended())
}

func TestDatabaseInMemoryHasNoFile(t *testing.T) {
	t.Parallel()
	cfg := &sqlapi.SQLiteConfig{File: sqlapi.InMemory}
	cfg.SetDefaults()
	file := sqlite.NewFiles(t.TempDir(), slog.New(slog.DiscardHandler)).File(registry.ID{Namespace: "app", Name: "db"}, cfg)
	db, err := file.Open(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, file.Watch(ctx))
	require.NoError(t, db.Close())
}
