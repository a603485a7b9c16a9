package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// snapshotOf begins a snapshot that ends with the test.
func snapshotOf(tb testing.TB, db *sqlite.DB) *sqlite.Snapshot {
	tb.Helper()
	s, err := db.Snapshot(tb.Context(), func() {})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// stored is a row of a snapshot.
type stored struct {
	rowid  int64
	values []sqlapi.Value
}

// content reads a snapshot whole, by table name.
func content(tb testing.TB, s *sqlite.Snapshot) (names []string, rows map[string][]stored) {
	tb.Helper()
	tables, err := s.Tables()
	require.NoError(tb, err)
	rows = map[string][]stored{}
	for _, table := range tables {
		names = append(names, table.Table().Name)
		rows[table.Table().Name] = readTable(tb, s, table)
	}
	return names, rows
}

func readTable(tb testing.TB, s *sqlite.Snapshot, shape *sqlite.Shape) (all []stored) {
	tb.Helper()
	r, err := s.Rows(shape)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, r.Close()) }()
	for {
		var c api.Change
		err := r.Next(&c)
		if errors.Is(err, io.EOF) {
			n, err := s.Count(tb.Context(), shape)
			require.NoError(tb, err)
			require.Len(tb, all, int(n))
			return all
		}
		require.NoError(tb, err)
		require.Len(tb, c.After, len(shape.Table().Columns))
		all = append(all, stored{c.NewRowID, c.After})
	}
}

func TestSnapshotShowsWhatCaptureShows(t *testing.T) {
	t.Parallel()
	db := open(t)
	sink := &recording{}
	detach, err := db.Attach(t.Context(), sink)
	if errs.Is(err, errs.Invalid) {
		t.Skip("built without capture")
	}
	require.NoError(t, err)
	defer detach()
	for _, statement := range []string{
		`CREATE TABLE plain (a, b INTEGER, c TEXT, d BLOB, e REAL, f DATE, g BOOLEAN, h TIMESTAMP, i NUMERIC)`,
		`CREATE TABLE "odd ""name" (rowid, "select" TEXT DEFAULT 'x', _rowid_)`,
		`CREATE TABLE pair (a, b, c, PRIMARY KEY (c, a)) WITHOUT ROWID`,
		`CREATE TABLE aliased (id INTEGER PRIMARY KEY DESC, n REAL, v AS (n * 2), s AS (n + 1) STORED)`,
		`CREATE TABLE strict (id INTEGER PRIMARY KEY, r REAL, any ANY) STRICT`,
		`CREATE TABLE empty (a)`,
		`CREATE UNIQUE INDEX narrow ON plain (b)`,
	} {
		mustExec(t, db.Pool(), statement)
	}
	sink.take(t)
	for _, statement := range []string{
		`INSERT INTO plain (rowid, a, b, c, d, e, f, g, h, i) VALUES
			(9, NULL, 9223372036854775807, '', x'', 1, '2024-05-06', 1, 1700000000, '1e3'),
			(-5, 'x', -9223372036854775808, CAST(x'ff00fe' AS TEXT), x'00ff', 9e999, 5, 'true', '2024-05-06 07:08:09', 2.5),
			(7, 0.1, 0, 'text', zeroblob(70000), -0.0, NULL, 0, 1700000000123, 9007199254740993)`,
		`INSERT INTO "odd ""name" (_rowid_, rowid) VALUES ('b', 'a'), (1, 2)`,
		`INSERT INTO pair VALUES (2, 'x', 'b'), (1, 'y', 'b'), (3, 'z', 'a')`,
		`INSERT INTO aliased VALUES (5, 1), (2, 2.5), (9, NULL)`,
		`INSERT INTO strict VALUES (1, 2, 3), (2, 2.5, x'00'), (3, NULL, '')`,
	} {
		mustExec(t, db.Pool(), statement)
	}
	want := map[string][]stored{"empty": nil}
	for _, tx := range sink.take(t) {
		for _, c := range changes(t, tx) {
			want[c.Table.Name] = append(want[c.Table.Name], stored{c.NewRowID, c.After})
		}
	}
	names, got := content(t, snapshotOf(t, db))
	require.Equal(t, []string{"aliased", "empty", `odd "name`, "pair", "plain", "strict"}, names)
	for name, rows := range want {
		require.ElementsMatch(t, rows, got[name], name)
	}
	require.Equal(t, []int64{-5, 7, 9}, []int64{got["plain"][0].rowid, got["plain"][1].rowid, got["plain"][2].rowid})
}

func TestSnapshotStaysWhatItWas(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), `CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)`)
	s := snapshotOf(t, db)
	mustExec(t, db.Pool(), `UPDATE a SET x = 3; DROP TABLE b; CREATE TABLE c (x); ALTER TABLE a ADD COLUMN y`)
	names, rows := content(t, s)
	require.Equal(t, []string{"a", "b"}, names)
	require.Equal(t, []stored{{1, []sqlapi.Value{sqlapi.IntegerValue(1)}}}, rows["a"])
	require.Equal(t, []stored{{1, []sqlapi.Value{sqlapi.IntegerValue(2)}}}, rows["b"])
	names, rows = content(t, snapshotOf(t, db))
	require.Equal(t, []string{"a", "c"}, names)
	require.Len(t, rows["a"][0].values, 2)
}

func TestSnapshotIsPinnedWhileTheWriterIsHeld(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), `CREATE TABLE a (x)`)
	s, err := db.Snapshot(t.Context(), func() {
		require.Zero(t, db.Pool().Stats().Idle, "no other goroutine has the writer")
	})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	mustExec(t, db.Pool(), `INSERT INTO a VALUES (1)`)

	tx, err := db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = db.Snapshot(ctx, func() {})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, `sqlite: snapshot of "app:db": `)
	require.NoError(t, tx.Rollback())
}

func TestSnapshotOfMemoryIsACopy(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.File = sqlapi.InMemory })
	s := snapshotOf(t, db)
	names, _ := content(t, s)
	require.Empty(t, names)
	mustExec(t, db.Pool(), `CREATE TABLE a (x); INSERT INTO a VALUES (1), (2)`)
	s = snapshotOf(t, db)
	mustExec(t, db.Pool(), `DELETE FROM a`)
	_, rows := content(t, s)
	require.Len(t, rows["a"], 2)

	// A statement that has written and not ended is a transaction that is open.
	prepared, err := db.Pool().PrepareContext(t.Context(), `INSERT INTO a VALUES (3), (4) RETURNING x`)
	require.NoError(t, err)
	_, err = prepared.ExecContext(t.Context())
	require.NoError(t, err)
	_, err = db.Snapshot(t.Context(), func() {})
	require.True(t, errs.Retryable(err), err)
	require.NoError(t, prepared.Close())
	_, rows = content(t, snapshotOf(t, db))
	require.Len(t, rows["a"], 2)
	_, ok := db.WALBytes()
	require.False(t, ok)
	require.ErrorIs(t, db.WithSideConnection(t.Context(), nil), sqlite.ErrInMemory)
}

func TestSnapshotNeedsWAL(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"journal_mode": "delete"} })
	_, err := db.Snapshot(t.Context(), func() {})
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "the journal mode is delete")
}

func TestSideConnectionsAreNotCapturedNorInTheWay(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), `CREATE TABLE a (x); CREATE TABLE b (x)`)
	sink := &recording{}
	detach, err := db.Attach(t.Context(), sink)
	if errs.Is(err, errs.Invalid) {
		t.Skip("built without capture")
	}
	require.NoError(t, err)
	defer detach()
	before, _ := db.WALBytes()
	write := func(ctx context.Context, connection *sql.DB) error {
		_, err := connection.ExecContext(ctx, `INSERT INTO a VALUES (1)`)
		return err
	}
	require.NoError(t, db.WithSideConnection(t.Context(), write))
	after, ok := db.WALBytes()
	require.True(t, ok)
	require.Greater(t, after, before)
	mustExec(t, db.Pool(), `INSERT INTO b SELECT x FROM a`)
	require.Len(t, sink.take(t), 1)

	// A transaction that has read and will write is not overtaken.
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRowContext(t.Context(), `SELECT count(*) FROM a`).Scan(&n))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- db.WithSideConnection(ctx, write) }()
	_, err = tx.ExecContext(t.Context(), `INSERT INTO b VALUES (2)`)
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.NoError(t, tx.Commit())

	require.NoError(t, db.Close())
	require.NoError(t, db.WithSideConnection(t.Context(), write), "the file is there though the writer is closed")
}

func TestSideConnectionsRespectQueryOnly(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"Query_Only": "1"} })
	err := db.WithSideConnection(t.Context(), func(ctx context.Context, connection *sql.DB) error {
		_, err := connection.ExecContext(ctx, `CREATE TABLE a (x)`)
		return err
	})
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err), err)
}

func TestRowsOfATableThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := snapshotOf(t, open(t))
	_, err := s.Rows(sqlite.NewShape(&sqlapi.Table{
		Schema: "main", Name: "gone", Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true, RowID: "rowid",
	}))
	require.EqualError(t, err, `sqlite: table "gone": no such table: main.gone`)
}

func TestDamagedTable(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), `CREATE TABLE a (x); INSERT INTO a VALUES (zeroblob(3000)), (zeroblob(3000)), (zeroblob(3000)), (zeroblob(3000))`)
	mustExec(t, db.Pool(), `PRAGMA wal_checkpoint(TRUNCATE)`)
	var root, pageSize int64
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), `SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size`).Scan(&root, &pageSize))
	var path string
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list`).Scan(&path))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt(make([]byte, pageSize), root*pageSize)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	s := snapshotOf(t, db)
	tables, err := s.Tables()
	require.NoError(t, err)
	rows, err := s.Rows(tables[0])
	require.NoError(t, err)
	for err == nil {
		err = rows.Next(new(api.Change))
	}
	require.EqualError(t, err, `sqlite: table "a": database disk image is malformed`)
	again := rows.Next(new(api.Change))
	require.Equal(t, err, again)
	require.NoError(t, rows.Close())
}
