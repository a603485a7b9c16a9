package registry

import (
	"os"
	"slices"

	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// Kind says how entries of one kind are read.
type Kind struct {
	// Name is what users write.
	Name registry.Kind
	// New returns an empty configuration.
	New func() registry.Config
	// Check finds what Validate of the configuration cannot know; its errors are like those of Validate. It is
	// given the entry before its references are known, and may be nil.
	Check func(*registry.Entry) error
}

// KindOf returns the kind of entries whose configuration is a C. Besides its fields, check finds what is wrong with them;
// it may be nil.
func KindOf[C any, P interface {
	*C
	registry.Config
}](name registry.Kind, check func(*registry.Entry) error,
) Kind {
	return Kind{Name: name, New: func() registry.Config { return P(new(C)) }, Check: check}
}

// Loader reads the declarations of an app. It is immutable.
type Loader struct {
	kinds  map[registry.Kind]Kind
	names  []string
	lookup func(string) (string, bool)
}

// NewLoader returns a loader that knows kinds, which must have different names. Variables in ${env:…} that are not
// declared are looked up by lookup; nil means os.LookupEnv.
func NewLoader(kinds []Kind, lookup func(name string) (string, bool)) *Loader {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	l := &Loader{kinds: make(map[registry.Kind]Kind, len(kinds)), lookup: lookup}
	for _, kind := range kinds {
		l.kinds[kind.Name] = kind
		l.names = append(l.names, string(kind.Name))
	}
	slices.Sort(l.names)
	return l
}

// Load reads every YAML file below the app directory's src folder if there is one, else below the directory itself.
// If anything is wrong the error holds *Problems with all that was found; it is something else only if the
// directory cannot be read or declares nothing.
func (l *Loader) Load(appDir string) (*State, error) {
	r := &report{}
	documents, err := readAll(appDir, r)
	if err != nil {
		return nil, err
	}
	var raws []*rawEntry
	for _, d := range documents {
		raws = append(raws, readEntries(d, l.names, r)...)
	}
	byID := unique(raws, r)
	l.recognize(raws, r)
	records := l.decode(raws, byID, r)
	link(records, byID, r)
	checkLinks(records, r)
	ordered := order(records, r) // records are ordered as they are written from here on
	soleOwners(records, appDir, r)
	if err := r.err(); err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	return newState(ordered), nil
}

// recognize finds out which entries are of known kinds and reports the others.
func (l *Loader) recognize(raws []*rawEntry, r *report) {
	for _, raw := range raws {
		if _, raw.known = l.kinds[raw.kind]; raw.known || raw.kind == "" {
			continue
		}
		hint := suggest.Hint(string(raw.kind), l.names)
		if hint == "" {
			hint = ": write " + alternatives(l.names)
		}
		r.addf(raw.fieldAt("kind"), raw.id, "kind", "unknown kind %q%s", raw.kind, hint)
	}
}

// decode reads the entries of known kinds: the variables first, since all others may use them.
func (l *Loader) decode(raws []*rawEntry, byID map[registry.ID]*rawEntry, r *report) []*record {
	e := &environment{lookup: l.lookup, variables: make(map[registry.ID]*env.VariableConfig), entries: byID}
	records := make([]*record, 0, len(raws))
	for _, raw := range raws {
		if raw.known && raw.kind == env.KindVariable {
			rec := decodeEntry(raw, l.kinds[raw.kind], r, nil)
			records = append(records, rec)
			if config, ok := rec.entry.Config.(*env.VariableConfig); ok && byID[raw.id] == raw {
				e.variables[raw.id] = config
			}
		}
	}
	for _, raw := range raws {
		if raw.known && raw.kind != env.KindVariable {
			records = append(records, decodeEntry(raw, l.kinds[raw.kind], r, e))
		}
	}
	// Of entries with the same ID the first is the one that others mean.
	return slices.DeleteFunc(records, func(rec *record) bool { return byID[rec.entry.ID].at != rec.entry.Position })
}
