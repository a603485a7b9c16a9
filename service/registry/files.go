package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/plainfile"
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
	var others []string
	err = fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && isYAML(path):
			d, lacks := readFile(filepath.Join(root, path), r)
			if d != nil {
				documents = append(documents, d)
			} else if lacks != "" {
				others = append(others, filepath.Join(root, path)+" "+lacks)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errs.New(errs.Invalid, "registry: read %q: %w", root, err)
	}
	if len(documents) == 0 && len(r.list) == 0 {
		return nil, errs.New(errs.NotFound,
			"registry: read %q: there is no YAML file with namespace and entries in it%s; is this the directory of an app?",
			root, found(others))
	}
	return documents, nil
}

// found tells what there is instead of a file that declares entries.
func found(others []string) string {
	const most = 5
	switch n := len(others); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf(" (%s, and %d more)", strings.Join(others[:most], ", "), n-most)
	default:
		return " (" + strings.Join(others, ", ") + ")"
	}
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

// readFile returns nil if the file declares no entries, and what it lacks, or if it cannot be read, which is reported.
func readFile(file string, r *report) (d *document, lacks string) {
	at := registry.Position{File: file}
	content, err := plainfile.Read(file)
	if err != nil {
		r.addf(at, registry.ID{}, "", "cannot be read: %v", err)
		return nil, ""
	}
	roots, err := parse(content)
	if err != nil {
		line, text := describeYAMLError(content, err)
		r.addf(registry.Position{File: file, Line: line}, registry.ID{}, "", "not valid YAML: %s", text)
		return nil, ""
	}
	for _, root := range roots {
		if !declares(root) {
			continue
		}
		if len(roots) > 1 {
			r.addf(registry.Position{File: file, Line: root.Line}, registry.ID{}, "",
				"the file has %d YAML documents: write one document per file", len(roots))
			return nil, ""
		}
		return readHeader(file, root, r), ""
	}
	return nil, lacking(roots)
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

func describeYAMLError(content []byte, err error) (line int, text string) {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return 0, err.Error()
	}
	text = e.Message
	switch {
	case strings.HasPrefix(text, "unknown anchor"):
		text = "a value that begins with * stands for an anchor (&), and there is none of that name; write text that begins with * in quotes"
	case isTab(content, e):
		text = "a tab: indent with spaces"
	case e.ContextMsg != "":
		text = e.ContextMsg + ": " + text
	}
	return e.Mark.Line, text
}

// isTab reports whether a tab, which cannot be part of an indentation, is what is wrong.
func isTab(content []byte, e *yaml.LoadError) bool {
	if strings.Contains(e.Message, "a tab character") {
		return true
	}
	lines := bytes.Split(content, []byte("\n"))
	if e.Mark.Line < 1 || e.Mark.Line > len(lines) || !strings.Contains(e.Message, "cannot start any token") {
		return false
	}
	line := []rune(string(lines[e.Mark.Line-1]))
	return e.Mark.Column >= 1 && e.Mark.Column <= len(line) && line[e.Mark.Column-1] == '\t'
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

// lacking says what keeps a file from declaring entries.
func lacking(roots []*yaml.Node) string {
	switch {
	case !slices.ContainsFunc(roots, func(root *yaml.Node) bool { return !isNull(root) }):
		return "is empty"
	case field(roots[0], "entries") == nil:
		return "has no entries"
	default:
		return "has no namespace"
	}
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
