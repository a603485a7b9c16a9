package registry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// opening begins an expression that is replaced by the value of an environment variable.
const opening = "${env:"

// environment gives the values of ${env:…}.
type environment struct {
	// lookup reads the process environment.
	lookup func(name string) (string, bool)
	// variables are the env.variable entries, entries all entries.
	variables map[registry.ID]*env.VariableConfig
	entries   map[registry.ID]*rawEntry
}

// value returns what an expression NAME or NAME|default stands for, seen from namespace.
func (e *environment) value(expression, namespace string) (string, error) {
	name, fallback, hasFallback := strings.Cut(expression, "|")
	variable, err := e.variable(name, namespace)
	if err != nil {
		return "", err
	}
	if value, ok := e.lookup(variable.Variable); ok {
		return value, nil
	}
	switch {
	case variable.Default != nil:
		return *variable.Default, nil
	case hasFallback:
		return fallback, nil
	default:
		return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default: %s%s|default}",
			variable.Variable, opening, name)
	}
}

// errReported says that an expression has no value because of a problem that is reported where it stands.
var errReported = errors.New("reported elsewhere")

// variable finds the entry that name means; without one, name is that of the variable itself.
func (e *environment) variable(name, namespace string) (*env.VariableConfig, error) {
	if name == "" {
		return nil, errors.New("names no environment variable: write " + opening + "NAME}")
	}
	id, err := registry.ParseID(name, namespace)
	if err != nil {
		return nil, err
	}
	if variable := e.variables[id]; variable != nil && variable.Variable != "" {
		return variable, nil
	}
	other := e.entries[id]
	if other != nil && (!other.known || other.kind == env.KindVariable) {
		return nil, errReported
	}
	if !strings.Contains(name, ":") {
		return &env.VariableConfig{Variable: name}, nil
	}
	if other != nil {
		return nil, fmt.Errorf("%q is a %s (%s), not an %s", id, other.kind, other.at, env.KindVariable)
	}
	var known []string
	for id := range e.variables {
		known = append(known, id.String())
	}
	slices.Sort(known)
	return nil, fmt.Errorf("there is no %s entry %q%s", env.KindVariable, id, suggest.Hint(name, known))
}

// substitution remembers what was put in place of an expression, so that no message shows it.
type substitution struct{ field, value, expression string }

// substitute replaces the expressions in a scalar. What was plain is resolved again, so that a number may come
// from the environment. It returns false after a problem.
func (d *decoder) substitute(n *yaml.Node, path string) (*yaml.Node, bool) {
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${") {
		return n, true
	}
	if d.env == nil {
		if strings.Contains(n.Value, opening) {
			d.addf(path, "%s…} is not replaced in an %s entry", opening, env.KindVariable)
		}
		return n, true
	}
	text, used, ok := d.expand(n.Value, path)
	if !ok || text == n.Value {
		return n, ok
	}
	replaced := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: n.Line, Column: n.Column}
	if n.Style == 0 {
		replaced.Tag = plainTag(text)
	}
	if used != "" {
		d.substituted[replaced] = used
	}
	return replaced, true
}

// plainTag returns the tag of a plain scalar. Only what cannot be YAML syntax is looked at.
func plainTag(text string) string {
	syntax := func(r rune) bool {
		return r != '+' && r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	var document yaml.Node
	if strings.ContainsFunc(text, syntax) || yaml.Load([]byte(text), &document) != nil || len(document.Content) != 1 ||
		document.Content[0].Kind != yaml.ScalarNode {
		return "!!str"
	}
	return document.Content[0].ShortTag()
}

// expand replaces the expressions in s and returns those it has replaced. It returns false after a problem.
func (d *decoder) expand(s, path string) (expanded, used string, ok bool) {
	var out strings.Builder
	var expressions []string
	ok = true
	for {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			out.WriteString(s)
			return out.String(), strings.Join(expressions, " "), ok
		}
		s = rest
		escaped := strings.HasSuffix(before, "$")
		inner, isEnv := strings.CutPrefix(rest, "env:")
		if escaped || !isEnv {
			out.WriteString(strings.TrimSuffix(before, "$") + "${")
			continue
		}
		expression, after, closed := strings.Cut(inner, "}")
		if !closed {
			d.addf(path, "%s has no closing }; write $${ for a literal ${", opening)
			return "", "", false
		}
		value, err := d.env.value(expression, d.document.namespace)
		switch {
		case errors.Is(err, errReported):
			d.bad[path], ok = true, false
		case err != nil:
			d.addf(path, "%s%s}: %v", opening, expression, err)
			ok = false
		}
		name, _, _ := strings.Cut(expression, "|")
		shown := opening + name + "}"
		expressions = append(expressions, shown)
		d.substitutions = append(d.substitutions, substitution{field: path, value: value, expression: shown})
		out.WriteString(before + value)
		s = after
	}
}

// redact takes substituted values out of the text of a problem of field.
func (d *decoder) redact(field, text string) string {
	for _, s := range d.substitutions {
		quoted := strconv.Quote(s.value)
		switch {
		case s.value == "":
		case len(s.value) >= 4:
			text = strings.ReplaceAll(text, s.value, s.expression)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], s.expression)
		case field == s.field || strings.HasPrefix(s.field, field):
			// So short a value is part of many words: it is taken out where it stands alone.
			word := regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(s.value) + `(\W|$)`)
			text = word.ReplaceAllString(text, "${1}"+strings.ReplaceAll(s.expression, "$", "$$")+"${2}")
		}
	}
	return text
}
