// Package engine runs Lua scripts as processes: isolated Lua states whose blocking calls suspend only the coroutine
// that makes them, that can be cancelled at any instruction, and that release everything when they end.
//
// # Processes
//
// A process has one Lua state and one lock. The lock is held while Lua code of the process runs, so that code never
// runs in parallel with itself; a blocking call (see Block and Channel) releases it. Every coroutine started by
// coroutine.spawn is a goroutine with a Lua thread of the same state. The process ends when its method returns;
// coroutines that still run are terminated and waited for.
//
// # Termination
//
// A terminated process notices at its next Lua instruction, wherever it is: blocking calls return a CANCELED error,
// and every instruction after it raises one, so that neither pcall nor an endless loop keeps a process alive.
//
// # Locks
//
// Process.mu may be held while the engine's, a host's or a mailbox's lock is taken, never the other way round. Only
// one process's lock is held by a goroutine at a time.
package engine
