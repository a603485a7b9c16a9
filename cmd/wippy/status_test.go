package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

func status() *inspect.Status {
	ago := time.Now().Add(-90 * time.Second)
	lag, behind := int64(3<<20), int64(7)
	return &inspect.Status{
		App: inspect.App{Dir: "/app", PID: 7, StartedAt: ago},
		Entries: []inspect.Entry{
			{ID: "app:db", Kind: "db.sql.sqlite", State: "running", Since: ago},
			{ID: "app:mail", Kind: "process.service", State: "failed", Since: ago, Error: &inspect.Failure{Message: "no \x1b[2Jmail\ntraceback"}},
		},
		Sources: []inspect.Source{{ID: "app:cdc", State: api.StateRunning, LSN: "12", Stats: &inspect.Stats{Transactions: 12, LogBytes: 100}}},
		Streams: []inspect.Stream{
			{ID: "app:cdc/1", Reader: "process 1", Tables: []string{"a", "b"}, Ops: []api.Op{api.OpInsert}, Since: ago, LagBytes: &lag},
			{ID: "app:cdc/2", Consumer: "search", Since: ago, Snapshot: true, SnapshotRows: 500, SnapshotTotal: new(int64(2000))},
		},
		Consumers: []inspect.Consumer{{Name: "search", Source: "app:cdc", AckedAt: ago, LagBytes: &lag, LagTransactions: &behind}},
		Sinks:     []inspect.Sink{{ID: "app:out", State: api.StateFaulted, Destination: "nats://host", Published: 3, Parked: 2}},
	}
}

func TestStatusForPeople(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	wippy.ShowStatus(&out, false, status())
	require.Equal(t, `/app: not ready, process 7, for 1m30s

ENTRY     KIND             STATE    FOR
app:db    db.sql.sqlite    running  1m30s
app:mail  process.service  failed   1m30s  no \x1b[2Jmail

SOURCE   STATE    LSN  STREAMS  TRANSACTIONS  LOG
app:cdc  running  12   0        12            100 B

STREAM     READER     CONSUMER  SELECTS     FOR    LAG
app:cdc/1  process 1            a,b insert  1m30s  3.0 MiB
app:cdc/2             search    all tables  1m30s  ?        snapshot: 500 of 2000 rows

CONSUMER  SOURCE   READER  ACKNOWLEDGED  LAG      TRANSACTIONS
search    app:cdc  none    1m30s ago     3.0 MiB  7

SINK     STATE    SOURCE  DESTINATION  PUBLISHED  PARKED  LAG
app:out  faulted          nats://host  3          2       ?

`, out.String())
}

func TestColoursDoNotMoveColumns(t *testing.T) {
	t.Parallel()
	var plain, coloured strings.Builder
	wippy.ShowStatus(&plain, false, status())
	wippy.ShowStatus(&coloured, true, status())
	require.Contains(t, coloured.String(), "\x1b[31mfailed\x1b[0m")
	var bare strings.Builder
	for i, part := range strings.Split(coloured.String(), "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		bare.WriteString(part)
	}
	require.Equal(t, plain.String(), bare.String())
}
