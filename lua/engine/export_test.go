package engine

import "context"

// NewCancelContext gives benchmarks the context that processes run with.
func NewCancelContext() context.Context { return newCancelContext(nil) }
