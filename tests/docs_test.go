package tests_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/boot"
)

// pages returns the paths of the pages that users and contributors read.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{"../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md"}
	docs, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	return append(found, docs...)
}

// snippet is a block of code in a page.
type snippet struct{ where, language, text string }

// page reads a page and takes it apart: into blocks of code, and the lines of the rest, of which those of blocks are
// empty.
func page(t *testing.T, path string) (snippets []snippet, prose []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var block *snippet
	for i, line := range strings.Split(string(content), "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && block == nil:
			block = &snippet{where: fmt.Sprintf("%s:%d", path, i+1)}
			block.language, _, _ = strings.Cut(language, " ")
		case fence:
			snippets = append(snippets, *block)
			block = nil
		case block != nil:
			block.text += line + "\n"
		default:
			prose = append(prose, line)
			continue
		}
		prose = append(prose, "")
	}
	require.Nil(t, block, "%s: a block of code has no end", path)
	return snippets, prose
}

// around are the entries that snippets may refer to; a snippet that declares one of the same name has its own.
func around() map[string]string {
	return map[string]string{
		"db":        "{name: db, kind: db.sql.sqlite, file: app.db}",
		"cdc":       "{name: cdc, kind: db.cdc.sqlite, db_resource: db}",
		"terminal":  "{name: terminal, kind: terminal.host}",
		"processes": "{name: processes, kind: process.host}",
	}
}

// validate loads an app that consists of the entries of a snippet and those around it.
func validate(t *testing.T, declared string) {
	t.Helper()
	dir := t.TempDir()
	for _, script := range regexp.MustCompile(`file://([\w./-]+\.lua)`).FindAllStringSubmatch(declared, -1) {
		write(t, filepath.Join(dir, script[1]), "return { main = function() end }")
	}
	if !strings.Contains(declared, "entries:") {
		declared = "namespace: app\nentries:\n" + declared
	}
	write(t, filepath.Join(dir, "snippet.yaml"), declared)
	others := []string{"namespace: app", "entries:"}
	for _, name := range slices.Sorted(maps.Keys(around())) {
		if !regexp.MustCompile(`- \{?name: ` + name + `\b[^.]`).MatchString(declared) {
			others = append(others, "  - "+around()[name])
		}
	}
	write(t, filepath.Join(dir, "around.yaml"), strings.Join(others, "\n"))
	_, err := boot.Load(boot.Settings{Dir: dir, LookupEnv: func(string) (string, bool) { return "set-to-something", true }})
	require.NoError(t, err)
}

// asLibrary declares a script, which need not have a method, with all that it requires: modules, and libraries of the
// names that are left.
func asLibrary(script string) string {
	builtin := []string{"base64", "cdc", "channel", "errors", "hex", "io", "json", "logger", "process", "sql", "test", "time"}
	var modules, imports, libraries []string
	for _, m := range regexp.MustCompile(`require\(?\s*["']([\w.]+)["']`).FindAllStringSubmatch(script, -1) {
		switch name := m[1]; {
		case slices.Contains(modules, name) || slices.Contains(imports, name+": lib."+name):
		case slices.Contains(builtin, name):
			modules = append(modules, name)
		default:
			imports = append(imports, name+": lib."+name)
			libraries = append(libraries, "  - {name: lib."+name+", kind: library.lua, source: \"return {}\"}\n")
		}
	}
	return strings.Join(libraries, "") + "  - name: snippet\n    kind: library.lua\n    modules: [" + strings.Join(modules, ", ") +
		"]\n    imports: {" + strings.Join(imports, ", ") + "}\n    source: |\n        " + strings.ReplaceAll(script, "\n", "\n        ")
}

// goExamples returns the examples of all packages, which go test compiles and runs.
func goExamples(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../service/*/*/example_test.go")
	require.NoError(t, err)
	more, err := filepath.Glob("../api/service/*/example_test.go")
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range slices.Concat(files, more) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		all.WriteString(flush(string(content)))
	}
	return all.String()
}

// flush returns code without its indentation.
func flush(code string) string {
	return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(code, "")
}

func TestSnippetsOfTheDocumentation(t *testing.T) {
	t.Parallel()
	checked := make(map[string]int)
	for _, path := range pages(t) {
		snippets, _ := page(t, path)
		for _, s := range snippets {
			checked[s.language]++
			t.Run(filepath.Base(s.where), func(t *testing.T) {
				t.Parallel()
				switch s.language {
				case "yaml":
					validate(t, s.text)
				case "lua":
					validate(t, asLibrary(s.text))
				case "go":
					require.Contains(t, goExamples(t), flush(s.text), "%s: no example of a package has these lines", s.where)
				case "json": // the encoder's own test compares them
					require.True(t, json.Valid([]byte(s.text)), s.where)
				case "sh", "sql", "":
				default:
					t.Errorf("%s: nothing is known of the language %q", s.where, s.language)
				}
			})
		}
	}
	require.Greater(t, checked["yaml"], 5)
	require.Greater(t, checked["lua"], 5)
	require.Greater(t, checked["go"], 1)
}

// What a user copies from the README is the example that `make run` runs.
func TestTheReadmeShowsTheQuickstart(t *testing.T) {
	t.Parallel()
	snippets, _ := page(t, "../README.md")
	files, err := filepath.Glob("../examples/quickstart/src/*")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		shown := slices.ContainsFunc(snippets, func(s snippet) bool { return s.text == string(content) })
		require.True(t, shown, "README.md has no block that equals %s", file)
	}
}

func TestTheDocumentationIsEasyToRead(t *testing.T) {
	t.Parallel()
	info, err := os.Stat("../README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(8192), "README.md is to be read in one go: move what is more to docs/")
	for _, path := range pages(t) {
		if strings.HasSuffix(path, "CHANGELOG.md") {
			continue
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for i, line := range strings.Split(string(content), "\n") {
			if !strings.HasPrefix(strings.TrimSpace(line), "|") {
				require.LessOrEqual(t, len([]rune(line)), 120, "%s:%d: break the line", path, i+1)
			}
		}
	}
}

// anchor is what a link to a heading is written as.
func anchor(heading string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			out.WriteByte('-')
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			out.WriteRune(r)
		}
	}
	return out.String()
}

// anchors returns where links into a page may lead.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	_, prose := page(t, path)
	for _, line := range prose {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := anchor(heading)
		for n := 1; found[name]; n++ {
			name = fmt.Sprintf("%s-%d", anchor(heading), n)
		}
		found[name] = true
	}
	return found
}

func TestLinksOfTheDocumentationLeadSomewhere(t *testing.T) {
	t.Parallel()
	designs, err := filepath.Glob("../*/*/*/*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("../*/*/*.md")
	require.NoError(t, err)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, path := range slices.Concat(pages(t), designs, more) {
		_, prose := page(t, path)
		for _, found := range link.FindAllStringSubmatch(strings.Join(prose, "\n"), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			to, part, _ := strings.Cut(found[1], "#")
			target := path
			if to != "" {
				target = filepath.Join(filepath.Dir(path), to)
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s: the link %s", path, found[1])
			if part != "" {
				require.True(t, anchors(t, target)[part], "%s: the link %s: there is no such heading", path, found[1])
			}
		}
	}
}
