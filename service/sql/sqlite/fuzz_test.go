package sqlite_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// FuzzRecords reads any bytes as a record: it must not panic, nor allocate more than the bytes could hold.
func FuzzRecords(f *testing.F) {
	db := open(f)
	mustExec(f, db.Pool(), "CREATE TABLE t (a, b REAL)")
	r := record(f, db)
	mustExec(f, db.Pool(), "INSERT INTO t VALUES (1, 2), ('text', 0.5), (x'00ff', NULL), (hex(zeroblob(200)), 70000)",
		"UPDATE t SET a = 'new', b = -1", "DELETE FROM t", "ALTER TABLE t RENAME COLUMN a TO c", "DROP TABLE t")
	for _, tx := range r.take(f) {
		for rest := tx.records; len(rest) > 0; {
			n := binary.LittleEndian.Uint32(rest)
			f.Add(rest[:n])
			rest = rest[n:]
		}
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0xff, 0xff, 0, 0, 0, 0})
	shape := sqlite.NewShape(&sqlapi.Table{Schema: "main", Name: "t", Columns: []sqlapi.Column{{Name: "a"}, {Name: "b", Type: "REAL"}}})
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) < 12 {
			t.Skip("the log cuts out nothing shorter")
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var change api.Change
		if err := shape.Decode(record, &change); err != nil {
			require.ErrorContains(t, err, "captured")
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20+200*len(record)))
	})
}
