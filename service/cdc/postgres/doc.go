// Package postgres turns what a Postgres server commits into change streams, by logical replication.
//
// A Source owns one replication connection. What the server sends by its plug-in pgoutput is kept as it came, sorted into
// transactions; a transaction that has committed is appended to the log, and the streams of the log decode it into
// changes. A position is confirmed to the server once every open stream has taken what lies before it.
//
// See DESIGN.md for why it is built this way, and docs/postgres.md for what to watch on a server.
package postgres
