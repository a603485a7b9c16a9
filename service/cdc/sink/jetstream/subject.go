package jetstream

import (
	"slices"
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// subjects says where changes go.
type subjects struct {
	template string
	// own is where what is about no row goes: changes of tables, and the marks of snapshots.
	own string
	// made are the subjects of tables.
	made map[*sqlapi.Table]string
}

func newSubjects(config *api.JetStreamConfig) *subjects {
	return &subjects{template: config.Subject, own: config.OwnSubject(), made: make(map[*sqlapi.Table]string)}
}

// mostMade bounds the subjects that are remembered: a table has another shape whenever it was altered.
const mostMade = 10_000

// of returns the subject of a change.
func (s *subjects) of(c *api.Change) string {
	if c.Table == nil || c.Op == api.OpSchema {
		return s.own
	}
	subject, ok := s.made[c.Table]
	if !ok {
		if len(s.made) >= mostMade {
			clear(s.made)
		}
		subject = strings.NewReplacer(
			api.SchemaPlaceholder, escape(c.Table.Schema), api.TablePlaceholder, escape(c.Table.Name),
		).Replace(s.template)
		s.made[c.Table] = subject
	}
	return subject
}

// patterns returns subjects, with wildcards, that all others lie in.
func (s *subjects) patterns() []string {
	tokens := strings.Split(s.template, ".")
	for i, token := range tokens {
		if strings.Contains(token, "{") {
			tokens[i] = "*"
		}
	}
	pattern := strings.Join(tokens, ".")
	if covers(pattern, s.own) {
		return []string{pattern}
	}
	return []string{pattern, s.own}
}

// escape makes a name a part of a token of a subject: bytes that are not letters, digits, _ or - are written as % and two
// hexadecimal digits, so that different names stay different.
func escape(name string) string {
	plain := func(b byte) bool {
		return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '-'
	}
	var all strings.Builder
	for i := range len(name) {
		if b := name[i]; plain(b) {
			_ = all.WriteByte(b)
		} else {
			const digits = "0123456789ABCDEF"
			_, _ = all.Write([]byte{'%', digits[b>>4], digits[b&0xf]})
		}
	}
	return all.String()
}

// covers reports whether every subject that one pattern matches is matched by another, wider one.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case token == ">":
			return len(n) > i
		case i >= len(n), n[i] == ">", token != "*" && token != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}

// uncovered returns the patterns that none of the subjects of a stream covers.
func uncovered(patterns, ofStream []string) []string {
	return slices.DeleteFunc(slices.Clone(patterns), func(pattern string) bool {
		return slices.ContainsFunc(ofStream, func(wide string) bool { return covers(wide, pattern) })
	})
}
