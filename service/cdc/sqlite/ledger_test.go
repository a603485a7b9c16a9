package sqlite_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/resource"
)

// ledgerSchema is that of a database whose every transaction notes its number and how many other rows it has written.
const ledgerSchema = `CREATE TABLE IF NOT EXISTS ledger (n INTEGER PRIMARY KEY, k);
	CREATE TABLE IF NOT EXISTS filler (id INTEGER PRIMARY KEY, text);
	CREATE TABLE IF NOT EXISTS parents (id INTEGER PRIMARY KEY);
	CREATE TABLE IF NOT EXISTS children (parent REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)`

// houseIn opens the database of a directory, which may be there already.
func houseIn(t *testing.T, dir string) *house {
	t.Helper()
	h := &house{
		t: t, directory: resource.New(), catalog: source.NewCatalog(), dir: dir, config: new(sqlapi.SQLiteConfig),
		log: slog.NewTextHandler(t.Output(), nil),
	}
	h.config.SetDefaults()
	h.config.Allow = []string{sqlapi.AllowCheckpoint}
	h.config.File, h.config.ForeignKeys = "app.db", true
	h.config.CaptureMemory, h.config.MaxTransactionBytes = unit.MiB, maxTransaction
	h.openDB()
	return h
}

// small is a durable source with segment files that are soon full.
func small() *api.SQLiteConfig {
	c := durable()
	c.Retention.MaxBytes = 2 * unit.MiB
	return c
}

// ledgerWriter is a program that writes for ever.
type ledgerWriter struct {
	h      *house
	random *rand.Rand
	n      int64
	names  int
}

func (w *ledgerWriter) note(k int) string {
	w.n++
	return "INSERT INTO ledger VALUES (" + strconv.FormatInt(w.n, 10) + ", " + strconv.Itoa(k) + ")"
}

func rows(k, size int) string {
	return "WITH i (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM i WHERE v < " + strconv.Itoa(k) + ") " +
		"INSERT INTO filler SELECT NULL, hex(zeroblob(" + strconv.Itoa(size) + ")) FROM i"
}

// fail runs statements of which one fails, and undoes the others.
func (w *ledgerWriter) fail(statements string) {
	_, err := w.h.db.Pool().ExecContext(w.h.t.Context(), statements)
	require.Error(w.h.t, err)
	_, _ = w.h.db.Pool().ExecContext(w.h.t.Context(), "ROLLBACK") // unless it was undone already
}

func (w *ledgerWriter) step() {
	h := w.h
	switch w.random.IntN(16) {
	case 0, 1, 2:
		h.exec(w.note(0))
	case 3:
		h.transact(rows(2, 10), w.note(2))
	case 4:
		h.transact(w.note(300), rows(300, 40))
	case 5:
		if w.random.IntN(12) == 0 { // it spills, and is not read into memory
			h.transact(rows(20_000, 120), w.note(20_000))
		}
	case 6:
		h.transact("SAVEPOINT s", rows(50, 10), "ROLLBACK TO s", rows(1, 10), w.note(1))
	case 7:
		h.exec("BEGIN; " + w.note(1) + "; " + rows(30, 10) + "; ROLLBACK")
	case 8:
		w.fail("BEGIN; " + w.note(1) + "; INSERT INTO children VALUES (7); COMMIT")
	case 9:
		h.exec("UPDATE parents SET id = id")
	case 10:
		w.names++
		h.exec("CREATE TABLE t" + strconv.Itoa(w.names) + " (a, b)")
	case 11:
		if w.names > 0 {
			h.transact("INSERT INTO t"+strconv.Itoa(1+w.random.IntN(w.names))+" (a) VALUES (1)", w.note(1))
		}
	case 12:
		if w.names > 0 {
			h.exec("ALTER TABLE t" + strconv.Itoa(1+w.random.IntN(w.names)) + " ADD COLUMN c" + strconv.FormatInt(w.n, 10) + " DEFAULT 7")
			w.n++
		}
	case 13:
		if w.random.IntN(4) == 0 {
			h.exec("VACUUM")
		}
	default:
		h.exec("PRAGMA wal_checkpoint(" + []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[w.random.IntN(4)] + ")")
	}
}

// TestLedgerWriter is the child process of the tests that damage a log: it writes until it is killed, or told to end.
func TestLedgerWriter(t *testing.T) {
	dir := os.Getenv("WIPPY_LEDGER")
	if dir == "" {
		t.Skip("run by tests that need a process which is killed")
	}
	seed, err := strconv.ParseUint(os.Getenv("WIPPY_SEED"), 10, 64)
	require.NoError(t, err)
	h := houseIn(t, dir)
	h.exec(ledgerSchema)
	served := h.serve(h.source(cdcID, small()))
	w := &ledgerWriter{h: h, random: rand.New(rand.NewPCG(seed, 1))}
	require.NoError(t, h.db.Pool().QueryRowContext(t.Context(), "SELECT coalesce(max(n), 0) FROM ledger").Scan(&w.n))
	require.NoError(t, h.db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]*'").Scan(&w.names))
	w.n += 1000 // what a crash has undone is not used again
	progress, steps := os.NewFile(3, "progress"), os.NewFile(4, "steps")
	for one := make([]byte, 1); ; {
		if _, err := steps.Read(one); errors.Is(err, io.EOF) {
			break
		}
		w.step()
		_, err = progress.Write(one)
		require.NoError(t, err)
	}
	require.NoError(t, served.stop())
	h.withdraw()
	require.NoError(t, h.db.Close())
}

// writeLedger makes another process do some steps in a directory, and kills it in the middle of the next ones, or lets it end.
func writeLedger(t *testing.T, dir string, seed uint64, steps int, kill bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestLedgerWriter$")
	cmd.Env = append(cmd.Environ(), "WIPPY_LEDGER="+dir, "WIPPY_SEED="+strconv.FormatUint(seed, 10))
	done, progress, err := os.Pipe()
	require.NoError(t, err)
	allowed, allow, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{progress, allowed}
	output := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Start())
	require.NoError(t, errors.Join(progress.Close(), allowed.Close()))
	ahead := 0
	if kill {
		ahead = 1000
	}
	_, err = allow.Write(make([]byte, steps+ahead))
	require.NoError(t, err)
	_, err = io.ReadFull(done, make([]byte, steps))
	require.NoError(t, err, "%s", output)
	if kill {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
	}
	require.NoError(t, allow.Close())
	if !kill {
		require.NoError(t, cmd.Wait(), "%s", output)
	}
	require.NoError(t, done.Close())
}

// lockedBuffer is what a child process says.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
