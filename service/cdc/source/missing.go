package source

import (
	"context"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/internal/suggest"
)

// tablesTimeout is how long a run waits for the database when it looks for tables.
const tablesTimeout = time.Second

// wanted is the tables that a source and its streams select by name. Each is looked for once in a run: one that does not
// exist may be created later, and may as well be misspelt.
type wanted struct {
	mu   sync.Mutex
	seen map[string]bool
	due  []string
	// wake receives a value when some are due.
	wake chan struct{}
}

// add makes tables be looked for that were not yet.
func (w *wanted) add(tables []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range tables {
		if !w.seen[name] {
			w.seen[name] = true
			w.due = append(w.due, name)
		}
	}
	if len(w.due) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// take returns the tables that are due.
func (w *wanted) take() (due []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	due, w.due = w.due, nil
	return due
}

// lookForTables warns of selected tables that do not exist.
func (r *Run) lookForTables(ctx context.Context) {
	due := r.wanted.take()
	if len(due) == 0 {
		return
	}
	looking, cancel := context.WithTimeout(ctx, tablesTimeout)
	defer cancel()
	existing, err := r.session.ListTables(looking)
	if err != nil {
		r.logger.DebugContext(ctx, "whether the selected tables exist is not known", "error", err)
		return
	}
	missing := suggest.Missing(due, existing)
	if len(missing) > 0 {
		r.logger.WarnContext(ctx, "selected tables do not exist, or the source does not capture them; nothing of them is delivered",
			"tables", missing)
	}
}
