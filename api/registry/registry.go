// Package registry defines what an app declares: entries, each with an ID, a kind and the configuration of its
// kind, and the listeners that turn entries into running services.
package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wippy-cdc/runtime/api/supervisor"
)

// ID identifies an entry: namespace:name.
type ID struct {
	Namespace string
	Name      string
}

// IsName reports whether s can be a namespace, the name of an entry or a kind: letters, digits and . _ - only, so that
// names can be typed, told apart and shown anywhere. Control and bidirectional characters are none of these.
func IsName(s string) bool {
	for _, r := range s {
		word := unicode.In(r, unicode.L, unicode.M, unicode.N) || strings.ContainsRune("._-", r)
		if !word || r == utf8.RuneError {
			return false
		}
	}
	return s != ""
}

// ParseID reads "namespace:name" or, relative to namespace, "name".
func ParseID(s, namespace string) (ID, error) {
	ns, name, qualified := strings.Cut(s, ":")
	if !qualified {
		ns, name = namespace, s
	}
	if !IsName(ns) || !IsName(name) {
		return ID{}, fmt.Errorf("%q is not an entry ID: write namespace:name", s)
	}
	return ID{Namespace: ns, Name: name}, nil
}

// String returns namespace:name.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return id.Namespace + ":" + id.Name
}

// IsZero reports whether no ID was given.
func (id ID) IsZero() bool { return id == ID{} }

// UnmarshalText implements encoding.TextUnmarshaler. A relative name keeps an empty namespace; the code
// that decodes the entry completes it.
func (id *ID) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, ":") {
		if !IsName(s) {
			return fmt.Errorf("%q is not an entry ID: write namespace:name", s)
		}
		*id = ID{Name: s}
		return nil
	}
	parsed, err := ParseID(s, "")
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Kind says what an entry is, for instance db.sql.sqlite.
type Kind string

// Position is where an entry or a field stands in the registry's files.
type Position struct {
	File string
	Line int
}

// String returns file:line.
func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Entry is one declaration, decoded and validated.
type Entry struct {
	ID   ID
	Kind Kind
	Meta map[string]any
	// Config points to the configuration type of Kind, for instance *sql.SQLiteConfig. It is not changed after
	// decoding and may be read by any goroutine.
	Config    Config
	Lifecycle supervisor.Lifecycle
	// Requires lists the entries that must run before this one: those of lifecycle.requires and those that
	// Config refers to, without duplicates.
	Requires []ID
	// Start says that the entry is to run: lifecycle.auto_start is set, or an entry that is to run requires it. An
	// entry that is not to run is declared nevertheless, so that others can tell that it exists.
	Start bool
	// Position is where the entry begins; Dir is the directory of its file, which relative paths in Config
	// start from.
	Position Position
	Dir      string
}

// Config is what every configuration type offers. Field types follow package unit and ID; a field of type ID or
// []ID or map[string]ID is a reference to another entry, and its struct tag ref:"kind1,kind2" names the kinds
// it accepts.
type Config interface {
	// SetDefaults fills the fields that the user left out. It is called before the user's fields are decoded.
	SetDefaults()
	// Validate returns every problem at once, as FieldErrors joined by errors.Join. It is called after decoding
	// and touches nothing outside the value.
	Validate() error
}

// Linked is a Config that needs more of the entries it refers to than their kinds.
type Linked interface {
	Config
	// CheckLinks returns what is wrong with what the entry of the given ID refers to, in the form of Validate. The
	// configurations of other entries are found by target, which returns nil for an entry that is not known; they may
	// have problems of their own.
	CheckLinks(id ID, target func(ID) Config) error
}

// FieldError is a problem of one field of a configuration.
type FieldError struct {
	// Field is the path of the field as the user writes it, for instance pool.max_lifetime.
	Field string
	// Problem says what is wrong and what to write instead.
	Problem string
	// Word is a word that is none of Known, of which one was perhaps meant; "" for other problems.
	Word  string
	Known []string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Problems collects the field errors of one configuration.
type Problems struct{ errs []error }

// Addf adds a problem of field.
func (p *Problems) Addf(field, format string, args ...any) {
	p.errs = append(p.errs, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// CheckWord adds a problem of field unless word is one of those that are known.
func CheckWord[S ~string](p *Problems, field string, word S, known ...S) {
	if slices.Contains(known, word) {
		return
	}
	names := make([]string, len(known))
	for i, name := range known {
		names[i] = string(name)
	}
	p.errs = append(p.errs, &FieldError{
		Field: field, Problem: fmt.Sprintf("%q is not known: use %s", word, Or(known)), Word: string(word), Known: names,
	})
}

// Or lists words as a sentence does: a, b or c.
func Or[S ~string](words []S) string {
	var list strings.Builder
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1:
			list.WriteString(" or ")
		case i > 0:
			list.WriteString(", ")
		}
		list.WriteString(string(word))
	}
	return list.String()
}

// Err returns all problems joined, nil if there is none.
func (p *Problems) Err() error { return errors.Join(p.errs...) }

// Listener turns the entries of its kinds into running things. All methods are called from one goroutine, in
// dependency order, and are idempotent: adding an entry twice unchanged, or deleting one that is not there, does
// nothing.
type Listener interface {
	// Add makes the entry available, and starts it if entry.Start is set. A failed Add leaves no trace.
	Add(ctx context.Context, entry *Entry) error
	// Update replaces the running entry of the same ID. What is exclusive is stopped and waited for before its
	// successor starts. After a failed Update the entry is stopped.
	Update(ctx context.Context, entry *Entry) error
	// Stop stops the entry and waits for it. It stays declared, and so does all that it keeps elsewhere, such as a
	// checkpoint: Add follows as soon as what the entry requires runs again.
	Stop(ctx context.Context, id ID) error
	// Delete stops the entry, waits for it, and takes back what Add has made and what the entry keeps elsewhere: it is
	// declared no longer.
	Delete(ctx context.Context, id ID) error
	// Applied reports whether the entry is as Add or Update has made it: it was not stopped since, and has not failed for
	// good. It may have completed.
	Applied(id ID) bool
}

// ChangeSet is the difference between two states of the registry. Ended is in stopping order, dependents first;
// Applied is in starting order, dependencies first.
type ChangeSet struct {
	Ended   []Ended
	Applied []Applied
}

// Ended is an entry to stop or, if Delete is set, to delete.
type Ended struct {
	Entry  *Entry
	Delete bool
}

// Applied is an entry to add or, if Update is set, to replace.
type Applied struct {
	Entry  *Entry
	Update bool
}
