package cdc

import (
	"context"
	"regexp"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
)

// ConsumerInfo describes a named consumer of a source at one moment.
type ConsumerInfo struct {
	Name string
	// Cursor is the position that the consumer has acknowledged, or at which its first stream has begun; AckedAt is
	// since when.
	Cursor  string
	AckedAt time.Time
	// Snapshot says that it has yet to acknowledge the last row of its snapshot, which begins anew with its next
	// stream.
	Snapshot bool
	// LagBytes and LagTransactions are how much lies behind the position, -1 if that is not known.
	LagBytes, LagTransactions int64
	// Connected says that the consumer has a stream, and Reader who reads it.
	Connected bool
	Reader    string
}

// Consuming tells about named consumers and ends them. Methods may be called from any goroutine. The error is
// Unavailable if the source does not run, and Invalid if it cannot go on behind what a consumer has acknowledged.
type Consuming interface {
	// Consumers describes the consumers of a source, ordered by name.
	Consumers(id registry.ID) ([]ConsumerInfo, error)
	// Forget ends a consumer, and its stream with an error that says so. What was kept for it is freed. The error is
	// NotFound if there is none of that name.
	Forget(ctx context.Context, id registry.ID, name string) error
	// Reset makes a consumer go on elsewhere: with what commits from now on, with a snapshot, or behind a position. The
	// error is NotFound if there is none of that name, and Conflict while it has a stream.
	Reset(ctx context.Context, id registry.ID, name string, start Start) error
}

// consumerName is what a consumer may be called: an entry ID, for instance.
var consumerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
