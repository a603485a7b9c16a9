package registry

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// maxNodes bounds how many values one entry may have after its aliases are expanded, so that a small file
// cannot become a huge one. maxDepth bounds how deep they are nested; an alias inside of what it stands for has
// no end.
const (
	maxNodes = 50_000
	maxDepth = 100
)

// decoder reads one entry, or the top level of one file, and reports everything that is wrong with it.
type decoder struct {
	document *document
	id       registry.ID
	// kind is what the entry is, "" at the top level of a file.
	kind   registry.Kind
	report *report
	env    *environment // nil if ${env:…} is not replaced
	budget int
	depth  int

	// at holds the line of every field that the user wrote, bad those that have been reported.
	at  map[string]int
	bad map[string]bool
	// refs and substitutions are what has been found in the values.
	refs          []reference
	substitutions []substitution
	substituted   map[*yaml.Node]string
	// secret holds the values of fields whose content no message shows.
	secret map[*yaml.Node]bool
}

// reference is a field that names another entry.
type reference struct {
	target registry.ID
	// shown is how the user wrote it, field the path and line where.
	shown, field string
	line         int
	// kinds are those that are accepted, nil for all.
	kinds []string
}

func newDecoder(d *document, id registry.ID, r *report, env *environment) *decoder {
	return &decoder{
		document: d, id: id, report: r, env: env, budget: maxNodes,
		at: make(map[string]int), bad: make(map[string]bool), substituted: make(map[*yaml.Node]string),
		secret: make(map[*yaml.Node]bool),
	}
}

// addf reports a problem of a field, at the line where the user wrote it or what it belongs to.
func (d *decoder) addf(path, format string, args ...any) {
	d.bad[path] = true
	d.report.addf(d.document.at(d.line(path)), d.id, path, format, args...)
}

func (d *decoder) line(path string) int {
	for {
		if line, ok := d.at[path]; ok {
			return line
		}
		if path == "" {
			return 0
		}
		path = parent(path)
	}
}

// parent cuts the last step off a path: a.b -> a, a[1] -> a, a -> "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// value decodes n into v. ref is the struct tag of the field, the kinds that a reference accepts.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path, ref string) {
	if !d.enter() {
		return
	}
	defer func() { d.depth-- }()
	n, ok := d.substitute(deref(n), path)
	if !ok {
		return
	}
	if v.Kind() == reflect.Pointer {
		if isNull(n) {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		d.text(n, u, v.Type(), path, ref)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.list(n, v, path, ref)
	case reflect.Map:
		d.table(n, v, path, ref)
	case reflect.Interface:
		if x := d.any(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(n, v, path)
	}
}

// enter counts a value and reports once if there are too many.
func (d *decoder) enter() bool {
	d.budget--
	switch {
	case d.budget == -1:
		d.addf("", "has more than %d values", maxNodes)
		return false
	case d.budget < 0:
		return false
	case d.depth == maxDepth:
		d.addf("", "has values nested deeper than %d levels; does an alias stand inside of itself?", maxDepth)
		d.budget = -1
		return false
	}
	d.depth++
	return true
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, v.Type(), path)
		return
	}
	fields := fieldsOf(v.Type())
	for _, p := range d.pairs(n, path) {
		d.field(p, v, fields, path, nil)
	}
}

// field decodes one pair of a mapping into the struct v. others are keys that are known besides its fields.
func (d *decoder) field(p pair, v reflect.Value, fields []structField, path string, others []string) {
	names := others
	for _, f := range fields {
		if f.name == p.key {
			if f.secret {
				d.hide(p.value)
			}
			d.value(p.value, v.FieldByIndex(f.index), join(path, p.key), f.ref)
			return
		}
		names = append(names, f.name)
	}
	d.addf(join(path, p.key), "unknown field of %s%s", d.owner(path), suggest.Among(p.key, names))
}

// owner says what the fields at a path belong to.
func (d *decoder) owner(path string) string {
	switch {
	case path == "":
		return string(d.kind)
	case path == "lifecycle" || within(path, "lifecycle"):
		return path
	default:
		return path + " of " + string(d.kind)
	}
}

// hide keeps a value, and those in it, out of messages.
func (d *decoder) hide(n *yaml.Node) {
	n = deref(n)
	if d.secret[n] {
		return
	}
	d.secret[n] = true
	for _, inner := range n.Content {
		d.hide(inner)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path, ref string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, v.Type(), path)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		p := path + "[" + strconv.Itoa(i) + "]"
		d.at[p] = element.Line
		d.value(element, v.Index(i), p, ref)
	}
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, path, ref string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, v.Type(), path)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range d.pairs(n, path) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(asWritten(p.value, element.Kind()), element, join(path, p.key), ref)
		v.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), element)
	}
}

// any decodes n as nil, bool, int64, float64, string, []any or map[string]any.
func (d *decoder) any(n *yaml.Node, path string) any {
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		d.list(n, reflect.ValueOf(&list).Elem(), path, "")
		return list
	case yaml.MappingNode:
		table := make(map[string]any, len(n.Content)/2)
		d.table(n, reflect.ValueOf(&table).Elem(), path, "")
		return table
	default:
		return d.anyScalar(n, path)
	}
}

// pair is one key of a mapping and its value.
type pair struct {
	key   string
	value *yaml.Node
}

// pairs returns the keys of a mapping in order and notes their lines. Keys that a merge (<<) brings in come last
// and give way to those written out.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var own []pair
	var merged []*yaml.Node
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge":
			merged = append(merged, mergeSources(value)...)
			continue
		case key.Kind != yaml.ScalarNode:
			d.report.addf(d.document.at(n.Content[i].Line), d.id, path, "expected a name as key, found %s", d.found(key))
			continue
		}
		p := join(path, key.Value)
		if first, twice := seen[key.Value]; twice {
			d.report.addf(d.document.at(key.Line), d.id, p, "is given twice; the first is at line %d", first)
			continue
		}
		seen[key.Value], d.at[p] = key.Line, key.Line
		own = append(own, pair{key.Value, deref(value)})
	}
	for _, source := range merged {
		own = d.merge(own, seen, source, path)
	}
	return own
}

func (d *decoder) merge(own []pair, seen map[string]int, source *yaml.Node, path string) []pair {
	if source.Kind != yaml.MappingNode {
		d.addf(path, "expected a mapping to merge (<<), found %s", d.found(source))
		return own
	}
	for i := 0; i+1 < len(source.Content); i += 2 {
		key := deref(source.Content[i])
		if _, given := seen[key.Value]; given || key.Kind != yaml.ScalarNode {
			continue
		}
		seen[key.Value], d.at[join(path, key.Value)] = key.Line, key.Line
		own = append(own, pair{key.Value, deref(source.Content[i+1])})
	}
	return own
}

func mergeSources(n *yaml.Node) []*yaml.Node {
	n = deref(n)
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	sources := make([]*yaml.Node, len(n.Content))
	for i, element := range n.Content {
		sources[i] = deref(element)
	}
	return sources
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mismatch reports a value of the wrong type.
func (d *decoder) mismatch(n *yaml.Node, t reflect.Type, path string) {
	hint := ""
	if t.Kind() == reflect.String && n.Kind == yaml.ScalarNode && !isNull(n) {
		hint = "; write it in quotes"
		if !d.secret[n] {
			hint += fmt.Sprintf(": %q", n.Value)
		}
	}
	d.addf(path, "expected %s, found %s%s", expected(t), d.found(n), hint)
}
