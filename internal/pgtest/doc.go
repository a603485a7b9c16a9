// Package pgtest gives tests a real Postgres server: a private one per test binary, made from the newest programs that are
// installed or from those in WIPPY_TEST_POSTGRES_BIN, or the server that WIPPY_TEST_POSTGRES_DSN names.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		db := pgtest.New(t) // a database of its own
//	}
//
// The private server starts with the first test that asks for it. It has wal_level=logical, so little memory for logical
// decoding that transactions are streamed early, password authentication and TLS on TCP. It ends with the
// test binary, however that ends. The server of WIPPY_TEST_POSTGRES_DSN has to ask for passwords, needs wal_level=logical
// and may be without TLS; tests that need a private server besides are skipped where none is installed.
package pgtest
