package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wippy-cdc/runtime/internal/printable"
)

// isTerminal reports whether what is written there is shown to a person.
func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0
}

// colour is an attribute of text on a terminal.
type colour string

// The colours, as terminals know them.
const (
	plain  colour = ""
	strong colour = "1"
	faint  colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

// palette colours text, unless the user does not want it or nothing would show it.
type palette bool

func paletteFor(w any) palette { return palette(isTerminal(w) && os.Getenv("NO_COLOR") == "") }

func (p palette) paint(c colour, text string) string {
	if !p || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// cell is a text of a table.
type cell struct {
	text   string
	colour colour
}

func plainCell(text string) cell { return cell{text: text} }

// stateCell is the cell of a state.
func stateCell(state string) cell {
	switch state {
	case "running", "completed":
		return cell{state, green}
	case "starting", "backoff":
		return cell{state, yellow}
	case "faulted", "failed":
		return cell{state, red}
	default:
		return plainCell(state)
	}
}

// table is text in columns, under a heading of each.
type table struct {
	headings []string
	rows     [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write writes the table; nothing if it has no rows. The last column is as wide as it likes.
func (t *table) write(w io.Writer, p palette) {
	if len(t.rows) == 0 {
		return
	}
	widths := make([]int, len(t.headings))
	for i, heading := range t.headings {
		widths[i] = utf8.RuneCountInString(heading)
	}
	for _, row := range t.rows {
		for i := range row {
			row[i].text = printable.Line(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	heading := make([]cell, len(t.headings))
	for i, text := range t.headings {
		heading[i] = cell{text, strong}
	}
	for _, row := range append([][]cell{heading}, t.rows...) {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(p.paint(c.colour, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintln(w)
}

// writeLine writes a value as a line of JSON that says what it is.
func writeLine(w io.Writer, kind string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "{\"type\":%q,%s\n", kind, content[1:])
	return err
}

// bytesText returns a size for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n), "KMGTPE"
	i := -1
	for value >= unit && i < len(prefixes)-1 {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", value, prefixes[i])
}

// lagText returns how far a reader is behind, for people.
func lagText(n *int64) string {
	if n == nil {
		return "?"
	}
	return bytesText(*n)
}

// agoText returns how long ago something was, for people.
func agoText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	ago := time.Since(at)
	switch {
	case ago < time.Minute:
		return fmt.Sprintf("%ds", int(ago.Seconds()))
	case ago < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(ago.Minutes()), int(ago.Seconds())%60)
	case ago < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(ago.Hours()), int(ago.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(ago.Hours()/24))
	}
}
