package registry

import "context"

// ExternalState is what an entry keeps outside of the program, such as a replication slot or the row of a checkpoint. It
// outlasts the service of the entry: being stopped releases nothing. It is released when the entry is deleted, or keeps
// it in another place from then on. An entry that comes back before that is done reclaims it. Of what another entry goes
// on with, a successor that names the same, nothing is released.
type ExternalState interface {
	// Place tells where it is. Places can be compared by ==; two states of one entry in the same place are the same.
	Place() any
	// Release removes it. The service of the entry has ended, and what the entry requires still runs. After an error that
	// is retryable, see errs.Retryable, it is called again some time later.
	Release(ctx context.Context) error
}
