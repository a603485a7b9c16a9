package kafka

import (
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// topics says where changes go.
type topics struct {
	template string
	// own is where what is about no row goes: changes of tables, and the marks of snapshots.
	own string
	// made are the topics of tables.
	made map[*sqlapi.Table]string
}

func newTopics(config *api.KafkaConfig) *topics {
	return &topics{template: config.Topic, own: config.OwnTopic(), made: make(map[*sqlapi.Table]string)}
}

// mostMade bounds the topics that are remembered: a table has another shape whenever it was altered.
const mostMade = 10_000

// of returns the topic of a change.
func (t *topics) of(c *api.Change) string {
	if c.Table == nil || c.Op == api.OpSchema {
		return t.own
	}
	topic, ok := t.made[c.Table]
	if !ok {
		if len(t.made) >= mostMade {
			clear(t.made)
		}
		topic = strings.NewReplacer(
			api.SchemaPlaceholder, escape(c.Table.Schema), api.TablePlaceholder, escape(c.Table.Name),
		).Replace(t.template)
		t.made[c.Table] = topic
	}
	return topic
}

// escape makes a name a part of the name of a topic: bytes that are not letters, digits or _ are written as - and two
// hexadecimal digits, so that different names stay different.
func escape(name string) string {
	plain := func(b byte) bool {
		return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
	}
	var all strings.Builder
	for i := range len(name) {
		if b := name[i]; plain(b) {
			_ = all.WriteByte(b)
		} else {
			const digits = "0123456789ABCDEF"
			_, _ = all.Write([]byte{'-', digits[b>>4], digits[b&0xf]})
		}
	}
	return all.String()
}
