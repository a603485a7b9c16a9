package registry

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// record is an entry as it was read, with what is needed to link it to others and to see that it has changed.
type record struct {
	entry *registry.Entry
	refs  []reference
	files map[string][]byte
	// lines holds the line of every field that the user wrote.
	lines map[string]int
}

// at returns where a field of the entry stands.
func (rec *record) at(field string) registry.Position {
	at := rec.entry.Position
	if line, ok := rec.lines[field]; ok {
		at.Line = line
	}
	return at
}

func directoryOf(file string) string { return filepath.Dir(file) }

// decodeEntry reads the fields of an entry over the defaults of its kind and validates them. What is wrong is
// reported; the record is of use nevertheless, for finding problems of others.
func decodeEntry(raw *rawEntry, kind Kind, r *report, environment *environment) *record {
	d := newDecoder(raw.document, raw.id, r, environment)
	d.kind, d.at[""] = raw.kind, raw.at.Line
	entry := &registry.Entry{
		ID: raw.id, Kind: raw.kind, Position: raw.at, Dir: raw.document.dir,
		Config: kind.New(), Lifecycle: supervisor.DefaultLifecycle(),
	}
	entry.Config.SetDefaults()
	d.fields(raw.node, entry)
	d.validate(entry.Config.Validate())
	d.lifecycle(&entry.Lifecycle)
	rec := &record{entry: entry, refs: d.refs, lines: d.at}
	if named, ok := entry.Config.(fileNamer); ok {
		d.fileNotText(raw.node)
		rec.files = d.readFiles(named.Files())
	}
	if kind.Check != nil {
		d.validate(kind.Check(entry))
	}
	return rec
}

// fields decodes everything that an entry of a known kind has.
func (d *decoder) fields(n *yaml.Node, entry *registry.Entry) {
	config := reflect.ValueOf(entry.Config).Elem()
	fields := fieldsOf(config.Type())
	for _, p := range d.pairs(n, "") {
		switch p.key {
		case "name", "kind":
		case "meta":
			d.value(p.value, reflect.ValueOf(&entry.Meta).Elem(), p.key, "")
		case "lifecycle":
			d.value(p.value, reflect.ValueOf(&entry.Lifecycle).Elem(), p.key, "")
		default:
			d.field(p, config, fields, "", entryKeys())
		}
	}
}

// validate reports the field errors in err, except those of fields that have been reported already.
func (d *decoder) validate(err error) {
	switch e := err.(type) { //nolint:errorlint // the tree of errors is walked by hand
	case nil:
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			d.validate(err)
		}
	default:
		field, text, hint := "", err.Error(), ""
		if fieldErr, ok := errors.AsType[*registry.FieldError](err); ok {
			field, text, hint = fieldErr.Field, fieldErr.Problem, suggest.Hint(fieldErr.Word, fieldErr.Known)
		}
		shown := d.redact(field, text)
		if shown == text { // else the hint would tell what the secret is like
			shown += hint
		}
		if !d.isBad(field) {
			d.report.addf(d.document.at(d.line(field)), d.id, field, "%s", shown)
		}
	}
}

// isBad reports whether a problem was found in a field, in what it is part of, or in one of its parts.
func (d *decoder) isBad(path string) bool {
	for bad := range d.bad {
		if bad == path || within(bad, path) || within(path, bad) {
			return true
		}
	}
	return false
}

func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && outer != "" && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// lifecycle validates what the user has configured and turns requires into references.
func (d *decoder) lifecycle(l *supervisor.Lifecycle) {
	var p registry.Problems
	positive := func(field string, value unit.Duration) {
		if value <= 0 {
			p.Addf("lifecycle."+field, "is %s, must be more than 0", value)
		}
	}
	positive("start_timeout", l.StartTimeout)
	positive("stop_timeout", l.StopTimeout)
	positive("restart.initial_delay", l.Restart.InitialDelay)
	positive("restart.max_delay", l.Restart.MaxDelay)
	if l.StableThreshold < 0 {
		p.Addf("lifecycle.stable_threshold", "is %s, must not be negative", l.StableThreshold)
	}
	if l.Restart.MaxDelay > 0 && l.Restart.MaxDelay < l.Restart.InitialDelay {
		p.Addf("lifecycle.restart.max_delay", "is %s, must be at least initial_delay (%s)", l.Restart.MaxDelay, l.Restart.InitialDelay)
	}
	if !(l.Restart.BackoffFactor >= 1 && l.Restart.BackoffFactor <= 1000) {
		p.Addf("lifecycle.restart.backoff_factor", "is %v, must be 1 to 1000", l.Restart.BackoffFactor)
	}
	if !(l.Restart.Jitter >= 0 && l.Restart.Jitter <= 1) {
		p.Addf("lifecycle.restart.jitter", "is %v, must be 0 to 1", l.Restart.Jitter)
	}
	if l.Restart.MaxAttempts < 0 {
		p.Addf("lifecycle.restart.max_attempts", "is %d, must not be negative; 0 means no limit", l.Restart.MaxAttempts)
	}
	d.validate(p.Err())
	d.requires(l)
}

// requires completes the IDs in lifecycle.requires.
func (d *decoder) requires(l *supervisor.Lifecycle) {
	var complete []string
	for i, name := range l.Requires {
		path := "lifecycle.requires[" + itoa(i) + "]"
		if d.isBad(path) {
			continue
		}
		id, err := registry.ParseID(name, d.document.namespace)
		if err != nil {
			d.addf(path, "%s", d.redact(path, err.Error()))
			continue
		}
		d.refs = append(d.refs, reference{target: id, shown: d.redact(path, quote(id)), field: path, line: d.line(path)})
		complete = append(complete, id.String())
	}
	l.Requires = complete
}
