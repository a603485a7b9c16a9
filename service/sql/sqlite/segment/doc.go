// Package segment is the files of a durable log: how they are laid out, which of their transactions have committed after a
// crash, and how they are read again. They are written by package capture, in the hooks of the writer's connection.
package segment
