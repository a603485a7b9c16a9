package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wippy-cdc/runtime/internal/printable"
)

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns those of an object in their order, nil if it is none.
func members(object []byte) (all []member) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil
		}
		key, ok := name.(string)
		var value json.RawMessage
		if !ok || decoder.Decode(&value) != nil {
			return nil
		}
		all = append(all, member{key, value})
	}
	return all
}

func first[T any](all []T, is func(T) bool) (found T) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		found = all[i]
	}
	return found
}

// of returns a member's value, nil if there is none of that name.
func of(all []member, name string) json.RawMessage {
	return first(all, func(m member) bool { return m.name == name }).value
}

// changeText is a line about a change, given as plain JSON, for people: time, operation, table, and the row; of an update
// its key and what it has changed.
func changeText(p palette, data []byte) string {
	c := members(data)
	op, relation := word(of(c, "op")), word(of(c, "relation"))
	var line strings.Builder
	line.WriteString(p.paint(faint, clock(of(c, "timestamp"))))
	line.WriteString(" " + p.paint(colourOf(op), fmt.Sprintf("%-8s", op)) + " " + p.paint(strong, printable.Line(relation)))
	before, after := members(of(c, "before")), members(of(c, "after"))
	switch op {
	case "update":
		for _, m := range members(of(c, "key")) {
			line.WriteString(" " + field(p, m))
		}
		for _, m := range after {
			if old := of(before, m.name); !bytes.Equal(old, m.value) {
				line.WriteString(" " + changed(p, m, old))
			}
		}
	case "delete":
		after = before
		fallthrough
	default:
		for _, m := range after {
			line.WriteString(" " + field(p, m))
		}
	}
	if action := word(of(c, "action")); action != "" {
		line.WriteString(" " + action + " " + printable.Line(word(of(c, "sql"))))
	}
	return strings.TrimRight(line.String(), " ")
}

func field(p palette, m member) string {
	return p.paint(cyan, printable.Line(m.name)+"=") + short(m.value)
}

// changed shows a value that an update has changed; old is nil if it is not known.
func changed(p palette, m member, old json.RawMessage) string {
	if old == nil {
		return field(p, m)
	}
	return p.paint(cyan, printable.Line(m.name)+"=") + short(old) + p.paint(yellow, "→") + short(m.value)
}

// longestValue is how much of a value is shown.
const longestValue = 60

// short returns a value, or its beginning.
func short(value json.RawMessage) string {
	shown := printable.Line(string(value))
	if utf8.RuneCountInString(shown) <= longestValue {
		return shown
	}
	return string([]rune(shown)[:longestValue]) + "…"
}

// word returns a string of JSON, "" if it is none.
func word(value json.RawMessage) (s string) {
	_ = json.Unmarshal(value, &s) // then it is ""
	return s
}

// clock returns the time of day of a time stamp.
func clock(value json.RawMessage) string {
	var seconds float64
	if json.Unmarshal(value, &seconds) != nil {
		return "        "
	}
	return time.UnixMilli(int64(seconds * 1000)).Format("15:04:05.000")
}

func colourOf(op string) colour {
	switch op {
	case "insert", "snapshot":
		return green
	case "update":
		return yellow
	case "delete", "truncate":
		return red
	default:
		return cyan
	}
}
