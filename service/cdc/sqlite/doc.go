// Package sqlite turns what the writer of a SQLite database commits into change streams.
//
// A Source attaches to the database while it runs, numbers the committed transactions and appends them to its log
// undecoded; the streams of the log decode them into changes.
package sqlite
