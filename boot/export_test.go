package boot

import (
	"context"

	api "github.com/wippy-cdc/runtime/api/registry"
)

// NewServiceListener lets tests drive a listener by hand.
var NewServiceListener = newServiceListener

// Forgetting sets what takes back what deleted entries keep elsewhere.
func (l *serviceListener) Forgetting(f func(ctx context.Context, entry *api.Entry) error) *serviceListener {
	return l.keeping(func(entry *api.Entry) kept {
		return kept{where: entry.Meta["where"], forget: func(ctx context.Context) error { return f(ctx, entry) }}
	})
}
