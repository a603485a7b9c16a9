package sqlite_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// FuzzRecords reads any bytes as the records of a transaction: it must not panic, nor allocate more than the bytes
// could hold, and it must end.
func FuzzRecords(f *testing.F) {
	db := open(f)
	mustExec(f, db.Pool(), "CREATE TABLE t (a, b REAL)")
	r := record(f, db)
	mustExec(f, db.Pool(), "INSERT INTO t VALUES (1, 2), ('text', 0.5), (x'00ff', NULL), (hex(zeroblob(200)), 70000)",
		"UPDATE t SET a = 'new', b = -1", "DELETE FROM t", "ALTER TABLE t RENAME COLUMN a TO c", "DROP TABLE t")
	for _, tx := range r.take(f) {
		f.Add(sqlite.Records(tx), int64(0))
		f.Add(sqlite.Records(tx), int64(40))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0xff, 0xff, 0, 0, 0, 0}, int64(12))
	spill, err := os.Create(filepath.Join(f.TempDir(), "spill"))
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, spill.Close()) })
	table := &sqlapi.Table{Schema: "main", Name: "t", Columns: []sqlapi.Column{{Name: "a"}, {Name: "b", Type: "REAL"}}}
	f.Fuzz(func(t *testing.T, records []byte, spilled int64) {
		spilled = min(max(spilled, 0), int64(len(records)))
		_, err := spill.WriteAt(records[:spilled], 0)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows := sqlite.NewTransaction(spill, spilled, records[spilled:], table, nil).Rows(nil)
		defer rows.Close()
		var row sqlapi.RowChange
		n := 0
		for ; err == nil; n++ {
			require.LessOrEqual(t, n*12, len(records), "a record has a head of 12 bytes")
			if err = rows.Next(&row); err == nil {
				require.Same(t, table, row.Table)
			}
		}
		if !errors.Is(err, io.EOF) {
			require.ErrorContains(t, err, "captured")
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20+200*len(records)))
	})
}
