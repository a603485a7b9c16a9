package postgres_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
)

// log is what a source has logged so far.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(text))
}

// logging declares a source that logs to a log.
func (h *house) logging(config *api.PostgresConfig) (*subject, *log) {
	h.t.Helper()
	l := new(log)
	settings := h.settings()
	settings.Logger = slog.New(slog.NewTextHandler(l, nil))
	require.NoError(h.t, config.Validate())
	h.catalog.Declare(cdcpostgres.New(cdcID, config, h.settings()))
	return h.subject(cdcID, config, settings), l
}

func TestNamesOfTablesThatDifferInCase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE "Users" (id int PRIMARY KEY)`)
	h.serve(h.source(h.config("Users", "users", "Orders", "orders")))
	s := h.subscribe(api.StreamOptions{})
	h.exec(`INSERT INTO "Users" VALUES (1); INSERT INTO users VALUES (2, 'x'); INSERT INTO orders VALUES (3, 'y')`)
	require.Equal(t, []string{"0 insert Users -> 1", "1 insert users -> 2 x", "2 insert orders -> 3 y !"}, lines(take(t, s, 3)))
	require.ErrorContains(t, h.config("users", "users").Validate(), `tables: names "users" twice`)
}

func TestWhatIsNoTable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE VIEW v AS SELECT * FROM users; CREATE MATERIALIZED VIEW m AS SELECT * FROM users; CREATE SEQUENCE s`)
	for name, kind := range map[string]string{"v": "a view", "public.M": "a materialized view", "s": "a sequence", "users_pkey": "an index"} {
		err := h.refusal(h.config("orders", name))
		require.ErrorContains(t, err, `"`+name+`" is `+kind+", and only tables have changes: name the tables behind it instead")
		require.True(t, errs.Retryable(err))
	}
	err := h.refusal(h.config("other.v"))
	require.ErrorContains(t, err, `table "other.v" does not exist: create it`)
}

func TestARoleThatIsReadOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	role := h.Name + "_reader"
	h.Role(t, role, "open-sesame", "REPLICATION")
	h.exec("ALTER ROLE " + role + " SET default_transaction_read_only = on; ALTER TABLE users OWNER TO " + role +
		"; GRANT CREATE ON DATABASE " + h.Name + " TO " + role)
	c := h.config("users")
	c.Username, c.Password = role, "open-sesame"
	err := h.refusal(c)
	require.ErrorContains(t, err, "the session is read-only: type ALTER ROLE")
	require.NotContains(t, err.Error(), "GRANT")
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	require.True(t, errs.Retryable(err), "a standby is promoted")

	c = h.config()
	c.Username, c.Password = role, "open-sesame"
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'a')")
	take(t, s, 1)
	eventually(t, func() bool { return h.info().CheckpointErr != nil }, "it says why")
	require.ErrorContains(t, h.info().CheckpointErr, "the session is read-only: type ALTER ROLE")
	require.NotContains(t, h.info().CheckpointErr.Error(), "GRANT")
	failures := func() uint64 { return h.catalog.Stats()[0].CheckpointFailures }
	before := failures()
	require.Positive(t, before)
	eventually(t, func() bool { return failures() > before }, "each attempt counts")
}

func TestASourceSaysWhatItsSlotWaitsFor(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, map[string]string{"max_prepared_transactions": "5"}))
	open, err := h.Pool.Conn(t.Context())
	require.NoError(t, err)
	defer open.Close() //nolint:errcheck // its transaction has ended
	_, err = open.ExecContext(t.Context(), "SET application_name = 'slow coach'; BEGIN; INSERT INTO orders VALUES (1, 'secret')")
	require.NoError(t, err)
	h.transactAnd("PREPARE TRANSACTION 'two'", "INSERT INTO orders VALUES (2, 'secret')")
	role := h.Name + "_plain"
	h.Role(t, role, "open-sesame", "REPLICATION")
	c := h.config()
	c.Username, c.Password = role, "open-sesame"
	source, said := h.logging(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- source.Serve(ctx, func() { close(ready) }) }()
	defer func() { cancel(); require.NoError(t, <-ended) }()
	eventually(t, func() bool {
		return said.has("the server makes the slot when the transactions that are open have ended")
	}, "it says so")
	require.True(t, said.has("(slow coach)"))
	require.True(t, said.has("prepared 'two' of boss in "+h.Name))
	require.False(t, said.has("secret"))
	_, err = open.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	h.exec("COMMIT PREPARED 'two'")
	<-ready
}

// transactAnd runs statements in one transaction that ends with last.
func (h *house) transactAnd(last string, statements ...string) {
	h.t.Helper()
	conn, err := h.Pool.Conn(h.t.Context())
	require.NoError(h.t, err)
	defer conn.Close() //nolint:errcheck // its transaction has ended
	for _, q := range append(append([]string{"BEGIN"}, statements...), last) {
		_, err := conn.ExecContext(h.t.Context(), q)
		require.NoError(h.t, err, q)
	}
}

func TestTheEncodingOfTheRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	role := h.Name + "_latin"
	h.Role(t, role, "open-sesame", "SUPERUSER")
	h.exec(`ALTER ROLE ` + role + ` SET client_encoding = 'LATIN1'; CREATE TABLE "café" (id int PRIMARY KEY, "für" text); INSERT INTO "café" VALUES (1, 'Ö')`)
	c := h.config("CAFé")
	c.Username, c.Password = role, "open-sesame"
	c.Options = map[string]string{"Client_Encoding": "LATIN1"}
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	h.exec(`INSERT INTO "café" VALUES (2, 'ß')`)
	changes := take(t, s, 2)
	require.Equal(t, []string{"0 snapshot café -> 1 Ö !", "0 insert café -> 2 ß !"}, lines(changes))
	require.Equal(t, "für", changes[1].Table.Columns[1].Name)
}

func TestAServerWithoutTLS(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, map[string]string{"ssl": "off"}))
	c := h.config("users")
	c.Options = map[string]string{"sslmode": "verify-full"}
	err := h.refusal(c)
	require.ErrorContains(t, err, "the server has no TLS, and the option sslmode (or PGSSLMODE) asks for it")
	require.True(t, errs.Retryable(err))
	secure := newHouse(t)
	if secure.Private {
		c = secure.config("users")
		c.Options = map[string]string{"sslmode": "verify-full"}
		require.ErrorContains(t, secure.refusal(c), "in the option sslrootcert")
	}
}
