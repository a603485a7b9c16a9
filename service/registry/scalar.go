package registry

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// structField is a field of a configuration as users know it.
type structField struct {
	name  string
	index []int
	// ref is the struct tag with the kinds that a reference accepts.
	ref string
	// secret says that no message shows the value: it has the struct tag secret.
	secret bool
}

// fieldsOf lists the fields of a struct, those of inline structs included.
func fieldsOf(t reflect.Type) []structField {
	var fields []structField
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case options == "inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{f.Index[0]}, inner.index...)
				fields = append(fields, inner)
			}
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			fields = append(fields, structField{
				name: name, index: f.Index, ref: f.Tag.Get("ref"), secret: f.Tag.Get("secret") == "true",
			})
		}
	}
	return fields
}

// scalar decodes text, numbers and truth values.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	tag := ""
	if n.Kind == yaml.ScalarNode {
		tag = n.ShortTag()
	}
	_, substituted := d.substituted[n]
	switch {
	case v.Kind() == reflect.String && (tag == "!!str" || tag == "!!timestamp" || substituted):
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool && tag == "!!bool",
		isFloat(v.Kind()) && (tag == "!!float" || tag == "!!int"):
		if n.Decode(v.Addr().Interface()) != nil {
			d.mismatch(n, v.Type(), path)
		}
	case isInteger(v.Kind()) && tag == "!!int":
		if n.Decode(v.Addr().Interface()) != nil {
			d.addf(path, "%s is out of range", d.found(n))
		}
	default:
		d.mismatch(n, v.Type(), path)
	}
}

// asWritten returns a value of a mapping of texts, such as options, in which numbers and truth values need no quotes:
// they are taken as they are written.
func asWritten(n *yaml.Node, kind reflect.Kind) *yaml.Node {
	if kind != reflect.String || n.Kind != yaml.ScalarNode || isNull(n) || n.Style != 0 {
		return n
	}
	text := *n
	text.Tag = "!!str"
	return &text
}

// text decodes what reads itself from text: durations, sizes, references.
func (d *decoder) text(n *yaml.Node, u encoding.TextUnmarshaler, t reflect.Type, path, ref string) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.mismatch(n, t, path)
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		if _, substituted := d.substituted[n]; substituted {
			d.mismatch(n, t, path)
			return
		}
		d.addf(path, "%v", err)
		return
	}
	if id, ok := u.(*registry.ID); ok {
		if id.Namespace == "" {
			id.Namespace = d.document.namespace
		}
		d.refer(n, *id, path, ref)
	}
}

// refer notes a reference to another entry.
func (d *decoder) refer(n *yaml.Node, target registry.ID, path, ref string) {
	shown := fmt.Sprintf("%q", target)
	if expression, substituted := d.substituted[n]; substituted {
		shown = "that " + expression + " names"
	}
	var kinds []string
	if ref != "" {
		kinds = strings.Split(ref, ",")
	}
	d.refs = append(d.refs, reference{target: target, shown: shown, field: path, line: d.line(path), kinds: kinds})
}

func (d *decoder) anyScalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return decodeAs[bool](d, n, path)
	case "!!int":
		return decodeAs[int64](d, n, path)
	case "!!float":
		return decodeAs[float64](d, n, path)
	default:
		return n.Value
	}
}

func decodeAs[T any](d *decoder, n *yaml.Node, path string) T {
	var v T
	d.scalar(n, reflect.ValueOf(&v).Elem(), path)
	return v
}

func isInteger(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Uint64 }

func isFloat(k reflect.Kind) bool { return k == reflect.Float32 || k == reflect.Float64 }

// expected says what a field of type t takes.
func expected(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[unit.Duration]():
		return "a duration like 5s, 250ms or 1h30m"
	case reflect.TypeFor[unit.Size]():
		return "a size like 64MiB or 65536"
	case reflect.TypeFor[registry.ID]():
		return "the ID of an entry, namespace:name"
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return "true or false"
	case isInteger(k):
		return "a whole number"
	case isFloat(k):
		return "a number"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Map || k == reflect.Struct:
		return "a mapping"
	default:
		return "text"
	}
}

// found describes a value in a message, without showing what a substitution has brought in.
func (d *decoder) found(n *yaml.Node) string {
	if expression, substituted := d.substituted[n]; substituted {
		return "the value of " + expression
	}
	secret := d.secret[n]
	switch n.ShortTag() {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		if secret {
			return "a number"
		}
		return "the number " + n.Value
	case "!!bool":
		if secret {
			return "a truth value"
		}
		return n.Value
	default:
		if secret {
			return "a value of another type"
		}
		return fmt.Sprintf("text %q", shorten(n.Value))
	}
}

// shorten keeps messages on one line.
func shorten(s string) string {
	const limit = 60
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit]) + "…"
}
