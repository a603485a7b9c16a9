package jetstream

import (
	"slices"
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// subjects says where changes go.
type subjects struct{ sink.Route }

// newSubjects returns the subjects of a configuration: https://docs.nats.io/nats-concepts/subjects.
func newSubjects(config *api.JetStreamConfig) *subjects {
	return &subjects{sink.Route{Template: config.Subject, Own: config.OwnSubject(), Sign: '%', Plain: "-"}}
}

// patterns returns subjects, with wildcards, that all others lie in.
func (s *subjects) patterns() []string {
	tokens := strings.Split(s.Template, ".")
	for i, token := range tokens {
		if strings.Contains(token, "{") {
			tokens[i] = "*"
		}
	}
	pattern := strings.Join(tokens, ".")
	if covers(pattern, s.Own) {
		return []string{pattern}
	}
	return []string{pattern, s.Own}
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
