package registry

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/plainfile"
)

// fileNamer is a configuration that may name files which belong to the entry. They must exist, and a change of their
// content is a change of the entry.
type fileNamer interface {
	// Files returns the names, relative to the directory of the YAML file, by the field that gives each.
	Files() map[string]string
}

// readFiles reads the files that belong to an entry, by the field that names each, so that a change of their
// content is a change of the entry.
func (d *decoder) readFiles(names map[string]string) map[string][]byte {
	files := make(map[string][]byte, len(names))
	for field, name := range names {
		if d.isBad(field) {
			continue
		}
		if filepath.IsAbs(name) {
			d.addf(field, "%q is an absolute path: paths are relative to the YAML file, write file://%s if it is beside it",
				name, filepath.Base(name))
			continue
		}
		file := filepath.Join(d.document.dir, name)
		content, err := plainfile.Read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.addf(field, "the file %q does not exist", file)
		case err != nil:
			d.addf(field, "%q cannot be read: %v", file, err)
		default:
			files[file] = content
		}
	}
	return files
}

// fileNotText reports a source without file:// that is the name of a script and not its text.
func (d *decoder) fileNotText(entry *yaml.Node) {
	source := field(entry, "source")
	if source == nil || d.isBad("source") {
		return
	}
	text := strings.TrimSpace(deref(source).Value)
	if strings.HasSuffix(text, ".lua") && !strings.HasPrefix(text, "file://") && !strings.HasPrefix(text, "return ") &&
		!strings.Contains(text, "\n") {
		d.addf("source", "%q is not a script; did you mean file://%s?", text, path.Clean(strings.TrimLeft(text, "/")))
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

func quote(id registry.ID) string { return strconv.Quote(id.String()) }
