// Package suggest finds what a user has probably meant by a name that does not exist.
package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// most is how many names Among lists.
const most = 30

// Nearest returns the candidate that is nearest to name, "" if none is near enough to be meant.
func Nearest(name string, candidates []string) string {
	best, distance := "", max(1, len(name)/3)+1
	for _, candidate := range candidates {
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate)); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// Hint returns "; did you mean X?" for the nearest candidate, "" if none is near enough.
func Hint(name string, candidates []string) string {
	best := Nearest(name, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// Among is Hint that lists the candidates, in the order of their names, if none of them is near enough.
func Among(name string, candidates []string) string {
	if hint := Hint(name, candidates); hint != "" {
		return hint
	}
	all := slices.Sorted(slices.Values(candidates))
	switch n := len(all); {
	case n == 0:
		return "; there is none"
	case n == 1:
		return "; there is only " + all[0]
	case n > most:
		return fmt.Sprintf("; there are %s and %d more", strings.Join(all[:most], ", "), n-most)
	default:
		return "; there are " + strings.Join(all, ", ")
	}
}

// Missing returns those of the names that mean none of the tables that exist, each with its Hint. What exists is qualified by
// its schema, names may be.
func Missing(names, existing []string) (missing []string) {
	bare := make([]string, len(existing))
	for i, table := range existing {
		bare[i] = table[strings.LastIndexByte(table, '.')+1:]
	}
	for _, name := range names {
		candidates := bare
		if strings.Contains(name, ".") {
			candidates = existing
		}
		if !slices.ContainsFunc(candidates, func(table string) bool { return strings.EqualFold(table, name) }) {
			missing = append(missing, name+Hint(name, candidates))
		}
	}
	return missing
}

// editDistance counts the characters to insert, delete, replace or swap with their neighbour to make a into b.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
