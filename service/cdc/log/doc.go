// Package log keeps what one run of a source has committed, as bytes in segments, until every reader has read it.
//
// A transaction is a record: its sequence, the time of its commit, a summary of the tables and operations that it may
// touch, and its changes as entries that the engine has written and decodes. The newest segments are in memory, older ones
// in temporary files without a name; see DESIGN.md.
package log
