// Package sqlite turns what the writer of a SQLite database commits into change streams.
//
// A Source attaches to the database while it runs, numbers the committed transactions and appends them to its log
// undecoded; the streams of the log decode them into changes. A stream may begin with a snapshot of the database, and
// a checkpoint in the database makes the next run go on from where this one ends. See the DESIGN.md of package cdc.
package sqlite
