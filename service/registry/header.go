package registry

import (
	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// version is the version of the file format.
const version = "1.0"

// The keys of a file, and those that every entry has besides the fields of its kind.
func fileKeys() []string  { return []string{"version", "namespace", "entries"} }
func entryKeys() []string { return []string{"name", "kind", "meta", "lifecycle"} }

// readHeader reads the top level of a file that declares entries.
func readHeader(file string, root *yaml.Node, r *report) *document {
	d := &document{file: file, dir: directoryOf(file)}
	dec := newDecoder(d, registry.ID{}, r, nil)
	for _, p := range dec.pairs(root, "") {
		switch p.key {
		case "version":
			if p.value.Kind != yaml.ScalarNode || p.value.Value != version {
				dec.addf("version", "%s is not supported: write version: \"%s\" or leave it out", dec.found(p.value), version)
			}
		case "namespace":
			d.namespace = dec.name(p.value, "namespace")
		case "entries":
			if p.value.Kind != yaml.SequenceNode {
				dec.addf("entries", "expected a list, found %s", dec.found(p.value))
				continue
			}
			d.entries = p.value.Content
		default:
			dec.addf(p.key, "unknown field of a file%s", suggest.Among(p.key, fileKeys()))
		}
	}
	if field(root, "namespace") == nil {
		r.addf(d.at(root.Line), registry.ID{}, "namespace", "is required: name the namespace of these entries")
	}
	return d
}

// rawEntry is an entry of which only name and kind have been read.
type rawEntry struct {
	document *document
	node     *yaml.Node
	at       registry.Position
	id       registry.ID
	// kind is "" if what stands there cannot be one, known says that it is a kind that there is. If not, that was
	// reported, and no problem that follows from it need be.
	kind  registry.Kind
	known bool
}

// fieldAt returns where a field of the entry stands.
func (raw *rawEntry) fieldAt(key string) registry.Position {
	if n := field(raw.node, key); n != nil {
		return raw.document.at(n.Line)
	}
	return raw.at
}

// readEntries reads name and kind of each entry of a document and reports those that lack them.
// Those without a kind are returned too, for others may refer to them.
func readEntries(d *document, kinds []string, r *report) []*rawEntry {
	if d.namespace == "" {
		return nil
	}
	var entries []*rawEntry
	for _, node := range d.entries {
		dec := newDecoder(d, registry.ID{}, r, nil)
		dec.at[""] = node.Line
		node = deref(node)
		if node.Kind != yaml.MappingNode {
			dec.addf("", "expected an entry with name and kind, found %s", dec.found(node))
			continue
		}
		raw := &rawEntry{document: d, node: node, at: d.at(dec.at[""])}
		dec.readIdentity(raw, kinds)
		if !raw.id.IsZero() {
			entries = append(entries, raw)
		}
	}
	return entries
}

// readIdentity fills in ID and kind of an entry as far as they are right.
func (d *decoder) readIdentity(raw *rawEntry, kinds []string) {
	if n := d.required(raw.node, "name", "name this entry"); n != nil {
		if name := d.name(n, "name"); name != "" {
			raw.id = registry.ID{Namespace: d.document.namespace, Name: name}
			d.id = raw.id
		}
	}
	if n := d.required(raw.node, "kind", "say what this entry is: "+alternatives(kinds)); n != nil {
		raw.kind = registry.Kind(d.name(n, "kind"))
	}
}

func (d *decoder) required(n *yaml.Node, key, hint string) *yaml.Node {
	value := field(n, key)
	if value != nil {
		d.at[key] = value.Line
	}
	if value == nil || isNull(deref(value)) {
		d.addf(key, "is required: %s", hint)
		return nil
	}
	return deref(value)
}

// name reads a namespace, the name of an entry or a kind; "" if it is none.
func (d *decoder) name(n *yaml.Node, path string) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		d.addf(path, "expected a name, found %s", d.found(n))
	case !registry.IsName(n.Value):
		d.addf(path, "%q is not a name: letters, digits and . _ - are allowed", n.Value)
	default:
		return n.Value
	}
	return ""
}

// unique reports entries whose ID was used before and returns the first of each.
func unique(entries []*rawEntry, r *report) map[registry.ID]*rawEntry {
	byID := make(map[registry.ID]*rawEntry, len(entries))
	for _, raw := range entries {
		if first := byID[raw.id]; first != nil {
			r.addf(raw.fieldAt("name"), raw.id, "name", "duplicate ID: there is another entry of this ID at %s", first.at)
			continue
		}
		byID[raw.id] = raw
	}
	return byID
}
