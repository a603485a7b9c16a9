// Package pattern matches the patterns of Lua 5.1, as string.find and its siblings do. A match can be stopped from
// outside however long it would take; how deep it recurses depends on the pattern, never on the text.
//
// https://www.lua.org/manual/5.1/manual.html#5.4.1
package pattern

import (
	"errors"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// maxCaptures is how many captures a pattern may have.
const maxCaptures = 32

// maxDepth bounds the recursion of a match, which each item of the pattern may deepen by one.
const maxDepth = 1 << 16

// stride is after how many steps a match looks whether it is to stop.
const stride = 1 << 12

// ErrStopped is the error of a match that was stopped.
var ErrStopped = errors.New("match was stopped")

// What a capture that is no text has as its length.
const (
	open     = -1 // its end was not met yet
	position = -2
)

// Capture is a part of a match: a piece of the text, or a position in it.
type Capture struct{ start, length int }

// Position returns the index in the text, from 0 on, of a capture made by (), and whether it is one.
func (c Capture) Position() (int, bool) { return c.start, c.length == position }

// Text returns the captured piece of text.
func (c Capture) Text(text string) string { return text[c.start : c.start+c.length] }

// Match is where a pattern fits: Text[Start:End].
type Match struct {
	Start, End int
	Captures   []Capture // valid until the next call of the Matcher
}

// Matcher looks for one pattern in one text.
type Matcher struct {
	text, pattern string
	anchored      bool
	stop          func() bool
	steps         int
	depth         int
	level         int // number of captures
	captures      [maxCaptures]Capture
	err           error
}

// New returns a Matcher of pattern in text. stop is asked now and then whether to give up.
func New(text, pattern string, stop func() bool) *Matcher {
	return &Matcher{text: text, pattern: pattern, stop: stop}
}

// Anchor makes ^ at the beginning of the pattern mean the place where a match is tried, and reports whether it is
// there.
func (m *Matcher) Anchor() bool {
	if strings.HasPrefix(m.pattern, "^") {
		m.pattern, m.anchored = m.pattern[1:], true
	}
	return m.anchored
}

// At returns the match that begins at index start of the text, if there is one. A malformed pattern is an Invalid
// error.
func (m *Matcher) At(start int) (Match, bool, error) {
	m.level, m.depth = 0, 0
	end := m.match(start, 0)
	if m.err == nil && end >= 0 {
		for _, c := range m.captures[:m.level] {
			if c.length == open {
				m.fail("unfinished capture")
			}
		}
	}
	if m.err != nil || end < 0 {
		return Match{}, false, m.err
	}
	return Match{start, end, m.captures[:m.level]}, true, nil
}

// From returns the first match that begins at index start or behind it; if the pattern is anchored, only at start.
func (m *Matcher) From(start int) (Match, bool, error) {
	for ; start <= len(m.text); start++ {
		found, ok, err := m.At(start)
		if ok || err != nil || m.anchored {
			return found, ok, err
		}
	}
	return Match{}, false, nil
}

// Plain reports whether a pattern means nothing but its own text.
func Plain(pattern string) bool { return !strings.ContainsAny(pattern, "^$*+?.([%-") }

// none is the end of a match that there is not.
const none = -1

func (m *Matcher) fail(format string, args ...any) int {
	if m.err == nil {
		m.err = errs.New(errs.Invalid, format, args...)
	}
	return none
}

// going counts a step and reports whether the match may go on.
func (m *Matcher) going() bool {
	if m.steps++; m.steps%stride == 0 && m.err == nil && m.stop() {
		m.err = ErrStopped
	}
	return m.err == nil
}

// deeper is match for the rest of a pattern, after which the caller may try something else.
func (m *Matcher) deeper(s, p int) int {
	if m.depth++; m.depth > maxDepth {
		return m.fail("pattern too complex")
	}
	end := m.match(s, p)
	m.depth--
	return end
}

// match returns the end of the match of the pattern from p on with the text from s on.
func (m *Matcher) match(s, p int) int {
	for m.going() {
		if p == len(m.pattern) {
			return s
		}
		switch c, next := m.pattern[p], m.at(p+1); {
		case c == '(' && next == ')':
			return m.startCapture(s, p+2, position)
		case c == '(':
			return m.startCapture(s, p+1, open)
		case c == ')':
			return m.endCapture(s, p+1)
		case c == '$' && p+1 == len(m.pattern):
			if s == len(m.text) {
				return s
			}
			return none
		case c == '%' && next == 'b':
			s, p = m.balanced(s, p+2), p+4
		case c == '%' && next == 'f':
			s, p = m.frontier(s, p+2)
		case c == '%' && '0' <= next && next <= '9':
			s, p = m.repeated(s, next), p+2
		default:
			var done bool
			if s, p, done = m.item(s, p); done {
				return s
			}
		}
		if s == none {
			return none
		}
	}
	return none
}

// at returns a character of the pattern, 0 behind its end.
func (m *Matcher) at(p int) byte {
	if p < len(m.pattern) {
		return m.pattern[p]
	}
	return 0
}

// item matches a single character and what says how often it may come. done means that the rest was matched as well.
func (m *Matcher) item(s, p int) (end, rest int, done bool) {
	behind := m.classEnd(p)
	if m.err != nil {
		return none, 0, true
	}
	switch m.at(behind) {
	case '?':
		if m.fits(s, p, behind) {
			if end := m.deeper(s+1, behind+1); end != none || m.err != nil {
				return end, 0, true
			}
		}
		return s, behind + 1, false
	case '*':
		return m.most(s, p, behind), 0, true
	case '+':
		if !m.fits(s, p, behind) {
			return none, 0, true
		}
		return m.most(s+1, p, behind), 0, true
	case '-':
		return m.least(s, p, behind), 0, true
	default:
		if !m.fits(s, p, behind) {
			return none, 0, true
		}
		return s + 1, behind, false
	}
}

// most matches as many characters as possible, then the rest.
func (m *Matcher) most(s, p, behind int) int {
	n := 0
	for m.fits(s+n, p, behind) && m.going() {
		n++
	}
	for ; n >= 0 && m.going(); n-- {
		if end := m.deeper(s+n, behind+1); end != none {
			return end
		}
	}
	return none
}

// least matches as few characters as possible, then the rest.
func (m *Matcher) least(s, p, behind int) int {
	for m.going() {
		if end := m.deeper(s, behind+1); end != none {
			return end
		}
		if !m.fits(s, p, behind) {
			return none
		}
		s++
	}
	return none
}
