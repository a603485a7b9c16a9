package cdc

import (
	"fmt"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// SinkConfig is what all sinks have in common.
type SinkConfig struct {
	// Source is the source whose changes are delivered.
	Source registry.ID `yaml:"source" ref:"db.cdc.sqlite,db.cdc.postgres"`
	// Tables, Ops and Schema select changes, as those of StreamOptions do.
	Tables []string `yaml:"tables"`
	Ops    []Op     `yaml:"ops"`
	Schema bool     `yaml:"schema"`
	// Snapshot is whether the sink begins with a snapshot, and begins anew with one behind a gap. Left out, it begins as
	// the entry of the source says, and a gap ends it.
	Snapshot *bool `yaml:"snapshot"`
	// Format is debezium, cloudevents or flat. Default debezium.
	Format Format `yaml:"format"`
	// Batch says how many changes are delivered at once.
	Batch BatchConfig `yaml:"batch"`
	// Retry says when and how often an attempt that has failed is repeated.
	Retry RetryConfig `yaml:"retry"`
	// OnReject says what happens to a change that the destination does not take: stop or park. Default stop.
	OnReject string `yaml:"on_reject"`
}

// BatchConfig bounds a batch. It ends at the end of a transaction where it can.
type BatchConfig struct {
	// MaxChanges is how many changes it has at most. Default 500.
	MaxChanges int `yaml:"max_changes"`
	// MaxBytes is how large it is at most, encoded; one change alone may be larger. Default 1MiB.
	MaxBytes unit.Size `yaml:"max_bytes"`
	// MaxWait is how long its first change waits for others. Default 20ms.
	MaxWait unit.Duration `yaml:"max_wait"`
}

// RetryConfig is the back-off between attempts to deliver: it doubles, and is moved by up to half of itself either way.
type RetryConfig struct {
	// InitialDelay is the first delay. Default 1s.
	InitialDelay unit.Duration `yaml:"initial_delay"`
	// MaxDelay bounds the delays. Default 1m.
	MaxDelay unit.Duration `yaml:"max_delay"`
	// MaxAttempts is how many attempts in a row may fail before the sink does; 0 means no limit.
	MaxAttempts int `yaml:"max_attempts"`
}

// The values of on_reject.
const (
	OnRejectStop = "stop"
	OnRejectPark = "park"
)

// SinkFormats returns the formats in which sinks deliver.
func SinkFormats() []Format { return []Format{FormatDebezium, FormatCloudEvents, FormatFlat} }

// The most that a batch may be.
const (
	maxBatchChanges = 100_000
	maxBatchBytes   = 256 * unit.MiB
)

// SetDefaults implements registry.Config.
func (c *SinkConfig) SetDefaults() {
	c.Format = FormatDebezium
	c.Batch = BatchConfig{MaxChanges: 500, MaxBytes: unit.MiB, MaxWait: unit.Duration(20 * time.Millisecond)}
	c.Retry = RetryConfig{InitialDelay: unit.Duration(time.Second), MaxDelay: unit.Duration(time.Minute)}
	c.OnReject = OnRejectStop
}

// BeginsAnew reports whether the sink begins anew with a snapshot behind a gap.
func (c *SinkConfig) BeginsAnew() bool { return c.Snapshot != nil && *c.Snapshot }

// Sink returns what the configuration has in common with those of other sinks.
func (c *SinkConfig) Sink() *SinkConfig { return c }

func (c *SinkConfig) validate(p *registry.Problems) {
	if c.Source.IsZero() {
		p.Addf("source", "is required: name the %s or %s entry whose changes are delivered", KindSQLite, KindPostgres)
	}
	validateTables(p, c.Tables, func(name string) string { return name })
	for i, op := range c.Ops {
		registry.CheckWord(p, fmt.Sprintf("ops[%d]", i), op, Ops()...)
	}
	registry.CheckWord(p, "format", c.Format, SinkFormats()...)
	registry.CheckWord(p, "on_reject", c.OnReject, OnRejectStop, OnRejectPark)
	c.Batch.validate(p)
	c.Retry.validate(p)
}

func (c *BatchConfig) validate(p *registry.Problems) {
	if c.MaxChanges < 1 || c.MaxChanges > maxBatchChanges {
		p.Addf("batch.max_changes", "is %d, must be 1 to %d", c.MaxChanges, maxBatchChanges)
	}
	if c.MaxBytes < unit.KiB || c.MaxBytes > maxBatchBytes {
		p.Addf("batch.max_bytes", "is %s, must be 1KiB to %s", c.MaxBytes, maxBatchBytes)
	}
	if c.MaxWait < 0 || c.MaxWait > unit.Duration(time.Minute) {
		p.Addf("batch.max_wait", "is %s, must be 0 to 1m", c.MaxWait)
	}
}

func (c *RetryConfig) validate(p *registry.Problems) {
	if c.InitialDelay < unit.Duration(time.Millisecond) {
		p.Addf("retry.initial_delay", "is %s, must be at least 1ms", c.InitialDelay)
	}
	if c.MaxDelay < c.InitialDelay {
		p.Addf("retry.max_delay", "is %s, must be at least initial_delay (%s)", c.MaxDelay, c.InitialDelay)
	}
	if c.MaxAttempts < 0 {
		p.Addf("retry.max_attempts", "is %d, must not be negative; 0 means no limit", c.MaxAttempts)
	}
}

// CheckLinks implements registry.Linked: the source must keep what has committed, or the sink could not go on.
func (c *SinkConfig) CheckLinks(id registry.ID, target func(registry.ID) registry.Config) error {
	var p registry.Problems
	if !consumerName.MatchString(id.String()) {
		p.Addf("name", "%q is the name of a consumer as well: use the letters a to z, digits and . _ -, and 128 characters at most", id)
	}
	switch source := target(c.Source).(type) {
	case *SQLiteConfig:
		if !source.Durable {
			p.Addf("source", "the entry %q does not keep what has committed, so that a sink could not go on where it was: "+
				"give it durable: true", c.Source)
		}
	case *PostgresConfig:
		if source.Temporary {
			p.Addf("source", "the entry %q has a temporary slot, so that a sink could not go on where it was: "+
				"remove temporary: true from it", c.Source)
		}
		if source.DBResource.IsZero() && c.OnReject == OnRejectPark {
			p.Addf("on_reject", "park writes to the database of the source, and the entry %q has none that can be written to: "+
				"give it db_resource instead of host and database", c.Source)
		}
	}
	return p.Err()
}
