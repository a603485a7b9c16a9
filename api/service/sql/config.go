package sql

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// SQLiteConfig configures a db.sql.sqlite entry.
type SQLiteConfig struct {
	// File is the path of the database file, relative to the app directory, or ":memory:". Missing directories
	// are created.
	File string `yaml:"file"`
	// ForeignKeys turns on enforcement, see https://www.sqlite.org/foreignkeys.html.
	ForeignKeys bool `yaml:"foreign_keys"`
	// BusyTimeout is how long a statement waits for a lock that another connection or process holds. Default 5s.
	BusyTimeout unit.Duration `yaml:"busy_timeout"`
	// Synchronous is off, normal, full or extra, see https://www.sqlite.org/pragma.html#pragma_synchronous.
	Synchronous string `yaml:"synchronous"`
	// CaptureMemory is how much of a transaction is captured in memory before it spills to a temporary file.
	// Default 64MiB.
	CaptureMemory unit.Size `yaml:"capture_memory"`
	// MaxTransactionBytes bounds what is captured of one transaction. A larger one commits, but ends all streams
	// with an error. Default 8GiB.
	MaxTransactionBytes unit.Size `yaml:"max_transaction_bytes"`
	// Pool configures the one writer connection.
	Pool SQLitePoolConfig `yaml:"pool"`
	// Allow lists what statements may do beside working with rows and tables: see the words of Allowances.
	Allow []string `yaml:"allow"`
	// MaxResultBytes bounds the rows that one query of a script returns, as they are in memory. Default 256MiB.
	MaxResultBytes unit.Size `yaml:"max_result_bytes"`
	// Options are further pragmas that are set on the connection when it opens, for instance cache_size: "-8000".
	Options map[string]string `yaml:"options"`
}

// SQLitePoolConfig configures the writer connection of a SQLite database.
type SQLitePoolConfig struct {
	// MaxLifetime is the age at which the connection is replaced by a new one. Default 1h; a :memory: database
	// keeps its connection for ever.
	MaxLifetime unit.Duration `yaml:"max_lifetime"`
}

// The words of SQLiteConfig.Allow. What is not allowed is refused with an error that names the word.
const (
	// AllowFiles is to reach other files: ATTACH, VACUUM INTO.
	AllowFiles = "files"
	// AllowSettings is to set pragmas that concern the whole connection or program: journal_mode, locking_mode, query_only
	// and the limits of the heap.
	AllowSettings = "settings"
	// AllowSchema is to set writable_schema and schema_version, by which a database can be made unreadable.
	AllowSchema = "schema"
	// AllowCheckpoint is to change the table wippy_cdc_offsets, in which sources remember where they are.
	AllowCheckpoint = "checkpoint"
)

// Allowances returns the words of SQLiteConfig.Allow.
func Allowances() []string { return []string{AllowFiles, AllowSettings, AllowSchema, AllowCheckpoint} }

// InMemory is the File of a database that lives in memory.
const InMemory = ":memory:"

// SetDefaults implements registry.Config.
func (c *SQLiteConfig) SetDefaults() {
	c.BusyTimeout = unit.Duration(5 * time.Second)
	c.Synchronous = "normal"
	c.CaptureMemory = 64 * unit.MiB
	c.MaxTransactionBytes = 8 * unit.GiB
	c.Pool.MaxLifetime = unit.Duration(time.Hour)
	c.MaxResultBytes = defaultResultBytes
}

const (
	defaultResultBytes = 256 * unit.MiB
	leastResultBytes   = 64 * unit.KiB
)

// checkResultBytes checks the field max_result_bytes.
func checkResultBytes(p *registry.Problems, size unit.Size) {
	if size < leastResultBytes {
		p.Addf("max_result_bytes", "is %s, must be at least %s", size, leastResultBytes)
	}
}

// Validate implements registry.Config.
func (c *SQLiteConfig) Validate() error {
	var p registry.Problems
	if c.File == "" {
		p.Addf("file", "is required: give the path of the database file, or \":memory:\"")
	}
	registry.CheckWord(&p, "synchronous", c.Synchronous, "off", "normal", "full", "extra")
	if c.BusyTimeout < 0 {
		p.Addf("busy_timeout", "must not be negative")
	}
	if c.CaptureMemory < unit.MiB {
		p.Addf("capture_memory", "is %s, must be at least 1MiB", c.CaptureMemory)
	}
	if c.MaxTransactionBytes < c.CaptureMemory {
		p.Addf("max_transaction_bytes", "is %s, must be at least capture_memory (%s)", c.MaxTransactionBytes, c.CaptureMemory)
	}
	if c.Pool.MaxLifetime < 0 {
		p.Addf("pool.max_lifetime", "must not be negative; 0 keeps the connection for ever")
	}
	for i, word := range c.Allow {
		registry.CheckWord(&p, fmt.Sprintf("allow[%d]", i), word, Allowances()...)
	}
	checkResultBytes(&p, c.MaxResultBytes)
	for name := range c.Options {
		if !isPragmaName(name) {
			p.Addf("options."+name, "is not the name of a pragma")
		}
	}
	return p.Err()
}

// OwnFile returns the field that names the database file, and the file's absolute path; "" if the database has none or
// does not write to it. Two entries that write must not name the same one: neither would know what the other commits.
func (c *SQLiteConfig) OwnFile(appDir string) (field, path string) {
	switch {
	case c.File == "" || c.File == InMemory || c.QueryOnly():
		return "file", ""
	case filepath.IsAbs(c.File):
		return "file", filepath.Clean(c.File)
	}
	path = filepath.Join(appDir, c.File)
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return "file", path
}

// QueryOnly reports whether the options forbid to write, see https://www.sqlite.org/pragma.html#pragma_query_only.
func (c *SQLiteConfig) QueryOnly() bool {
	for name, value := range c.Options {
		if strings.EqualFold(name, "query_only") {
			return slices.Contains([]string{"1", "true", "on", "yes"}, strings.ToLower(value))
		}
	}
	return false
}

func isPragmaName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
