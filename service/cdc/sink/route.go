package sink

import (
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Route says under which name changes go: a subject, a topic. It is for one goroutine.
type Route struct {
	// Template has the placeholders of the configuration. What is about no row goes to Own: changes of tables, and the
	// marks of snapshots.
	Template, Own string
	// Sign stands before the two hexadecimal digits of a byte that may not be in a name, which letters, digits, _ and those
	// of Plain may. It is none of them, so that different names stay different.
	Sign  byte
	Plain string

	// made are the names of tables.
	made map[*sqlapi.Table]string
}

// mostMade bounds the names that are remembered: a table has another shape whenever it was altered.
const mostMade = 10_000

// Of returns where a change goes.
func (r *Route) Of(c *api.Change) string {
	if c.Table == nil || c.Op == api.OpSchema {
		return r.Own
	}
	name, ok := r.made[c.Table]
	if !ok {
		if r.made == nil || len(r.made) >= mostMade {
			r.made = make(map[*sqlapi.Table]string)
		}
		name = strings.NewReplacer(
			api.SchemaPlaceholder, r.escape(c.Table.Schema), api.TablePlaceholder, r.escape(c.Table.Name),
		).Replace(r.Template)
		r.made[c.Table] = name
	}
	return name
}

func (r *Route) escape(name string) string {
	const digits = "0123456789ABCDEF"
	var all strings.Builder
	for i := range len(name) {
		b := name[i]
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || strings.IndexByte(r.Plain, b) >= 0 {
			_ = all.WriteByte(b)
		} else {
			_, _ = all.Write([]byte{r.Sign, digits[b>>4], digits[b&0xf]})
		}
	}
	return all.String()
}
