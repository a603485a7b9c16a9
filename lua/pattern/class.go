package pattern

// classEnd returns the index in the pattern behind the single character or set at p.
func (m *Matcher) classEnd(p int) int {
	c := m.pattern[p]
	p++
	switch c {
	case '%':
		if p == len(m.pattern) {
			m.fail("malformed pattern (ends with '%%')")
			return p
		}
		return p + 1
	case '[':
		if m.at(p) == '^' {
			p++
		}
		for first := true; first || m.at(p) != ']'; first = false {
			if p >= len(m.pattern) {
				m.fail("malformed pattern (missing ']')")
				return p
			}
			if m.pattern[p] == '%' {
				p++
			}
			p++
		}
		return p + 1
	default:
		return p
	}
}

// fits reports whether the text has a character at s that is what the pattern has from p to behind.
func (m *Matcher) fits(s, p, behind int) bool {
	if s >= len(m.text) {
		return false
	}
	c := m.text[s]
	switch m.pattern[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.pattern[p+1])
	case '[':
		return m.inSet(c, p, behind-1)
	default:
		return m.pattern[p] == c
	}
}

// inSet reports whether c is in the set that the pattern has from [ at p to ] at last.
func (m *Matcher) inSet(c byte, p, last int) bool {
	want := true
	p++
	if m.pattern[p] == '^' {
		want = false
		p++
	}
	for p < last {
		switch {
		case m.pattern[p] == '%' && p+1 < last:
			if inClass(c, m.pattern[p+1]) {
				return want
			}
			p += 2
		case p+2 < last && m.pattern[p+1] == '-':
			if m.pattern[p] <= c && c <= m.pattern[p+2] {
				return want
			}
			p += 3
		default:
			if m.pattern[p] == c {
				return want
			}
			p++
		}
	}
	return !want
}

// inClass reports whether c is in the class that %class means: that of a letter, its complement for a capital one, or
// else the character itself.
func inClass(c, class byte) bool {
	lower := class | 0x20
	var in bool
	switch lower {
	case 'a':
		in = isLetter(c)
	case 'c':
		in = c < 0x20 || c == 0x7f
	case 'd':
		in = isDigit(c)
	case 'l':
		in = 'a' <= c && c <= 'z'
	case 'p':
		in = 0x20 < c && c < 0x7f && !isLetter(c) && !isDigit(c)
	case 's':
		in = c == ' ' || '\t' <= c && c <= '\r'
	case 'u':
		in = 'A' <= c && c <= 'Z'
	case 'w':
		in = isLetter(c) || isDigit(c)
	case 'x':
		in = isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
	case 'z':
		in = c == 0
	default:
		return c == class
	}
	return in == (class == lower)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
