package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wippy-cdc/runtime/api/registry"
)

// readFiles reads the files that belong to an entry, by the field that names each, so that a change of their
// content is a change of the entry.
func (d *decoder) readFiles(names map[string]string) map[string][]byte {
	files := make(map[string][]byte, len(names))
	for field, name := range names {
		if d.isBad(field) {
			continue
		}
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(d.document.dir, path)
		}
		content, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.addf(field, "the file %q does not exist", path)
		case err != nil:
			d.addf(field, "%v", withoutPath(err, path))
		default:
			files[path] = content
		}
	}
	return files
}

func withoutPath(err error, path string) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return strconv.Quote(path) + " cannot be read: " + e.Err.Error()
	}
	return err.Error()
}

func itoa(i int) string { return strconv.Itoa(i) }

func quote(id registry.ID) string { return strconv.Quote(id.String()) }
