package registry

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// document is a YAML file that declares entries.
type document struct {
	file      string
	dir       string
	namespace string
	entries   []*yaml.Node
}

func (d *document) at(line int) registry.Position { return registry.Position{File: d.file, Line: line} }

// readAll reads every file below the app directory that declares entries.
func readAll(appDir string, r *report) ([]*document, error) {
	root, err := sourceRoot(appDir)
	if err != nil {
		return nil, err
	}
	var documents []*document
	err = fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && isYAML(path):
			if d := readFile(filepath.Join(root, path), r); d != nil {
				documents = append(documents, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errs.New(errs.Invalid, "registry: read %q: %w", root, err)
	}
	if len(documents) == 0 && len(r.list) == 0 {
		return nil, errs.New(errs.NotFound,
			"registry: read %q: there is no YAML file with namespace and entries in it; is this the directory of an app?", root)
	}
	return documents, nil
}

// sourceRoot returns the directory that holds the declarations of an app.
func sourceRoot(appDir string) (string, error) {
	info, err := os.Stat(appDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errs.New(errs.NotFound, "registry: app directory %q: it does not exist", appDir)
	case err != nil:
		return "", errs.New(errs.Invalid, "registry: app directory %q: %w", appDir, err)
	case !info.IsDir():
		return "", errs.New(errs.Invalid, "registry: app directory %q: it is not a directory", appDir)
	}
	src := filepath.Join(appDir, "src")
	if info, err := os.Stat(src); err == nil && info.IsDir() {
		return src, nil
	}
	return appDir, nil
}

func isYAML(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".yaml" || ext == ".yml"
}

// readFile returns nil if the file declares no entries, or cannot be read, which is reported.
func readFile(file string, r *report) *document {
	at := registry.Position{File: file}
	content, err := os.ReadFile(file)
	if err != nil {
		r.addf(at, registry.ID{}, "", "%v", err)
		return nil
	}
	roots, err := parse(content)
	if err != nil {
		line, text := describeYAMLError(err)
		r.addf(registry.Position{File: file, Line: line}, registry.ID{}, "", "not valid YAML: %s", text)
		return nil
	}
	for _, root := range roots {
		if !declares(root) {
			continue
		}
		if len(roots) > 1 {
			r.addf(registry.Position{File: file, Line: root.Line}, registry.ID{}, "",
				"the file has %d YAML documents: write one document per file", len(roots))
			return nil
		}
		return readHeader(file, root, r)
	}
	return nil
}

// parse returns the root node of each document in content.
func parse(content []byte) ([]*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var roots []*yaml.Node
	for {
		var document yaml.Node
		switch err := loader.Load(&document); {
		case errors.Is(err, io.EOF):
			return roots, nil
		case err != nil:
			return nil, err
		case len(document.Content) > 0:
			roots = append(roots, document.Content[0])
		}
	}
}

func describeYAMLError(err error) (line int, text string) {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		text = e.Message
		if e.ContextMsg != "" {
			text = e.ContextMsg + ": " + text
		}
		return e.Mark.Line, text
	}
	return 0, err.Error()
}

// declares reports whether a document is meant to declare entries. Other YAML files may lie beside the scripts.
func declares(root *yaml.Node) bool {
	namespace, entries := field(root, "namespace"), field(root, "entries")
	if entries == nil {
		return false
	}
	if namespace != nil {
		return true
	}
	for _, entry := range entries.Content {
		if field(entry, "name") != nil && field(entry, "kind") != nil {
			return true
		}
	}
	return false
}

// field returns the value of a key of a mapping, nil if there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
