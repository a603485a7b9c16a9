package tests_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// loadedPostgres is an app that prints what it is told about a table that others write.
const loadedPostgres = `
-- app.yaml --
namespace: app
entries:
  - name: cdc
    kind: db.cdc.postgres
    host: %s
    port: %d
    database: %s
    username: %s
    password: %s
    slot_name: %s
    tables: [rows]
    standby_interval: 100ms
    status_interval: 100ms
  - {name: terminal, kind: terminal.host}
  - {name: reader, kind: process.lua, source: file://reader.lua, modules: [cdc, io, time]}
  - name: service
    kind: process.service
    process: reader
    host: terminal
    lifecycle: {auto_start: true, requires: [cdc]}
-- reader.lua --
local cdc, io, time = require("cdc"), require("io"), require("time")
function main()
  local changes
  while not changes do -- the server may take a moment to see that the former owner of the slot is gone
    changes = assert(cdc.stream("app:cdc")):channel()
    if not changes then time.sleep("20ms") end
  end
  io.print("open")
  while true do
    local change = changes:receive()
    if errors.is(change) then error(change) end
    io.print(change.cursor, change.lsn, change.after.n)
  end
end
`

// TestKillOnPostgres kills the program under load, again and again, while rows are written all the time, also when it
// is down. Nothing is lost; what is told again after a restart has the cursor that it had before, and is told in order.
func TestKillOnPostgres(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	db := pgtest.New(t)
	db.Exec(t, "CREATE TABLE rows (n bigint PRIMARY KEY)")
	host, port, user, password := db.Address()
	dir := unpack(t, fmt.Sprintf(loadedPostgres, host, port, db.Name, user, password, db.Name))

	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int64
	ended := make(chan error, 1)
	begin := make(chan struct{})
	go func() {
		<-begin
		for ctx.Err() == nil {
			if _, err := db.Pool.ExecContext(context.WithoutCancel(ctx), "INSERT INTO rows SELECT $1::bigint + i FROM generate_series(1, 3) i", written.Load()); err != nil {
				ended <- err
				return
			}
			written.Add(3)
		}
		ended <- nil
	}()

	told := told{cursors: map[int64]string{}}
	for i := range kills(t) {
		r := launch(t, dir, "run", "-s")
		r.prints(t, r.stdout, "open\n")
		if i == 0 {
			close(begin)
		}
		r.printsLines(t, 1+random.IntN(500))
		r.signal(t, syscall.SIGKILL)
		r.exit()
		told.add(t, r.stdout.String())
	}
	stop()
	require.NoError(t, <-ended)
	r := launch(t, dir, "run", "-s")
	r.prints(t, r.stdout, fmt.Sprintf("\t%d\n", written.Load()))
	r.signal(t, syscall.SIGINT)
	r.exit()
	told.add(t, r.stdout.String())
	require.Len(t, told.cursors, int(written.Load()), "every row was told")
	t.Logf("%d kills, %d rows, %d told again", kills(t), written.Load(), told.again)
}

// told is what all runs have printed: the cursor of each row.
type told struct {
	cursors map[int64]string
	again   int
}

func (d *told) add(t *testing.T, printed string) {
	t.Helper()
	var before int64
	for line := range strings.Lines(printed) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(words) != 3 || !strings.HasSuffix(line, "\n") {
			continue // "open", or a line that was cut by the kill
		}
		n, err := strconv.ParseInt(words[2], 10, 64)
		require.NoError(t, err)
		if before != 0 {
			require.Equal(t, before+1, n, "out of order within one run")
		}
		before = n
		if cursor, ok := d.cursors[n]; ok {
			require.Equal(t, cursor, words[0], "row %d was told again under another cursor", n)
			d.again++
		}
		d.cursors[n] = words[0]
	}
}
