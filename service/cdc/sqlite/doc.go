// Package sqlite is the engine of sources that capture what the writer of a SQLite database commits, in this process. A
// Go program that does not run the runtime begins with Open.
package sqlite
