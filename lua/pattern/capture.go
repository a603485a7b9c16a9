package pattern

func (m *Matcher) startCapture(s, p, kind int) int {
	if m.level == maxCaptures {
		return m.fail("too many captures")
	}
	m.captures[m.level] = Capture{s, kind}
	m.level++
	end := m.deeper(s, p)
	if end == none {
		m.level--
	}
	return end
}

func (m *Matcher) endCapture(s, p int) int {
	for i := m.level - 1; i >= 0; i-- {
		c := &m.captures[i]
		if c.length != open {
			continue
		}
		c.length = s - c.start
		end := m.deeper(s, p)
		if end == none {
			c.length = open
		}
		return end
	}
	return m.fail("invalid pattern capture")
}

// repeated matches the text of an earlier capture, as %1 does.
func (m *Matcher) repeated(s int, digit byte) int {
	i := int(digit) - '1'
	if i < 0 || i >= m.level || m.captures[i].length == open {
		return m.fail("invalid capture index")
	}
	if _, ok := m.captures[i].Position(); ok {
		return m.fail("invalid capture index: capture %d is a position", i+1)
	}
	text := m.captures[i].Text(m.text)
	if len(m.text)-s < len(text) || m.text[s:s+len(text)] != text {
		return none
	}
	return s + len(text)
}

// balanced matches %bxy, whose characters x and y are at p.
func (m *Matcher) balanced(s, p int) int {
	if p+1 >= len(m.pattern) {
		return m.fail("unbalanced pattern: %%b needs two characters")
	}
	if s >= len(m.text) || m.text[s] != m.pattern[p] {
		return none
	}
	from, to := m.pattern[p], m.pattern[p+1]
	depth := 1
	for s++; s < len(m.text) && m.going(); s++ {
		switch m.text[s] {
		case to:
			if depth--; depth == 0 {
				return s + 1
			}
		case from:
			depth++
		}
	}
	return none
}

// frontier matches %f[set], whose set is at p, between a character that is not in the set and one that is.
func (m *Matcher) frontier(s, p int) (end, rest int) {
	if m.at(p) != '[' {
		return m.fail("missing '[' after '%%f' in pattern"), p
	}
	behind := m.classEnd(p)
	if m.err != nil {
		return none, p
	}
	var before, after byte
	if s > 0 {
		before = m.text[s-1]
	}
	if s < len(m.text) {
		after = m.text[s]
	}
	if m.inSet(before, p, behind-1) || !m.inSet(after, p, behind-1) {
		return none, p
	}
	return s, behind
}
