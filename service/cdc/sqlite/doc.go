// Package sqlite is the engine of sources that capture what the writer of a SQLite database commits, in this process.
package sqlite
