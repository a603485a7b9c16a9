package registry

import "path/filepath"

// fileOwner is a configuration that names a file which no other entry may name.
type fileOwner interface {
	// OwnFile returns the field that names the file, and its absolute path; "" if there is none.
	OwnFile(appDir string) (field, path string)
}

// soleOwners reports entries that name a file which an entry before them has named. The records are ordered as they
// are written.
func soleOwners(records []*record, appDir string, r *report) {
	owners := make(map[string]*record)
	for _, rec := range records {
		owner, ok := rec.entry.Config.(fileOwner)
		if !ok {
			continue
		}
		field, path := owner.OwnFile(appDir)
		if path == "" {
			continue
		}
		path = resolved(path)
		if first := owners[path]; first != nil {
			r.addf(rec.at(field), rec.entry.ID, field, "is the %s of %s (%s) too: refer to that entry instead, or only read, with options: {query_only: true}",
				field, first.entry.ID, first.entry.Position)
			continue
		}
		owners[path] = rec
	}
}

// resolved follows the symbolic links in a path; the last parts of it need not exist.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir, name := filepath.Split(filepath.Clean(path))
	if name == "" {
		return path
	}
	return filepath.Join(resolved(filepath.Clean(dir)), name)
}
