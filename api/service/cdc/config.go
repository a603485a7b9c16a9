package cdc

import (
	"regexp"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

// SubscriptionsConfig bounds the streams of one source. 0 means the default.
type SubscriptionsConfig struct {
	// MaxSubscriptions is how many streams may be open. Default 1024.
	MaxSubscriptions int `yaml:"max_subscriptions"`
	// MaxSnapshotSubscriptions is how many of them may be reading a snapshot. Default 4.
	MaxSnapshotSubscriptions int `yaml:"max_snapshot_subscriptions"`
	// MaxBytes bounds what the open streams may make the log keep, see Admission.ReservedBytes. Default 256MiB.
	MaxBytes unit.Size `yaml:"max_bytes"`
}

const (
	defaultMaxSubscriptions         = 1024
	defaultMaxSnapshotSubscriptions = 4
	defaultSubscriptionBytes        = 256 * unit.MiB
	defaultStatusInterval           = 30 * time.Second
	defaultAckInterval              = time.Second
	// DefaultLogBytes is the default of log_bytes.
	DefaultLogBytes = 64 * unit.MiB
)

// Resolved returns the limits with 0 replaced by the defaults.
func (c SubscriptionsConfig) Resolved() SubscriptionsConfig {
	if c.MaxSubscriptions == 0 {
		c.MaxSubscriptions = defaultMaxSubscriptions
	}
	if c.MaxSnapshotSubscriptions == 0 {
		c.MaxSnapshotSubscriptions = defaultMaxSnapshotSubscriptions
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultSubscriptionBytes
	}
	return c
}

func (c SubscriptionsConfig) validate(p *registry.Problems) {
	if c.MaxSubscriptions < 0 {
		p.Addf("subscriptions.max_subscriptions", "must not be negative; 0 means %d", defaultMaxSubscriptions)
	}
	if c.MaxSnapshotSubscriptions < 0 {
		p.Addf("subscriptions.max_snapshot_subscriptions", "must not be negative; 0 means %d", defaultMaxSnapshotSubscriptions)
	}
	if c.MaxBytes < 0 {
		p.Addf("subscriptions.max_bytes", "must not be negative; 0 means %s", defaultSubscriptionBytes)
	}
}

// SQLiteConfig configures a db.cdc.sqlite entry.
type SQLiteConfig struct {
	// DBResource is the db.sql.sqlite entry whose writer is captured.
	DBResource registry.ID `yaml:"db_resource" ref:"db.sql.sqlite"`
	// Tables names the tables to capture, in any case, bare or qualified with main. Empty means all.
	Tables []string `yaml:"tables"`
	// Snapshot is whether streams that do not say begin with a snapshot.
	Snapshot bool `yaml:"snapshot"`
	// StatusInterval is how often the checkpoint is written. Default 30s.
	StatusInterval unit.Duration `yaml:"status_interval"`
	// AckInterval is how often the acknowledged positions of consumers are written. Default 1s.
	AckInterval unit.Duration `yaml:"ack_interval"`
	// LogBytes bounds the log of committed transactions that streams read from. Default 64MiB.
	LogBytes      unit.Size           `yaml:"log_bytes"`
	Subscriptions SubscriptionsConfig `yaml:"subscriptions"`
	// Durable is whether the log is kept in files beside the database, so that consumers go on where they were.
	Durable bool `yaml:"durable"`
	// Retention is what a durable log keeps at most.
	Retention RetentionConfig `yaml:"retention"`
	// OnLogFull says what happens to a commit that the durable log cannot be written for: commit or refuse. Default
	// commit.
	OnLogFull string `yaml:"on_log_full"`
}

// RetentionConfig bounds a durable log, acknowledged or not.
type RetentionConfig struct {
	// MaxBytes is the size of its files. Default 1GiB.
	MaxBytes unit.Size `yaml:"max_bytes"`
	// MaxAge is how old the newest transaction of a file may be. Default 168h.
	MaxAge unit.Duration `yaml:"max_age"`
}

// The values of on_log_full.
const (
	OnLogFullCommit = "commit"
	OnLogFullRefuse = "refuse"
)

const (
	defaultRetentionBytes = unit.GiB
	defaultRetentionAge   = 168 * time.Hour
	leastRetentionBytes   = unit.MiB
)

// SetDefaults implements registry.Config.
func (c *SQLiteConfig) SetDefaults() {
	c.StatusInterval = unit.Duration(defaultStatusInterval)
	c.AckInterval = unit.Duration(defaultAckInterval)
	c.LogBytes = DefaultLogBytes
	c.Retention = RetentionConfig{MaxBytes: defaultRetentionBytes, MaxAge: unit.Duration(defaultRetentionAge)}
	c.OnLogFull = OnLogFullCommit
}

func (c *SQLiteConfig) validateDurable(p *registry.Problems) {
	if c.Retention.MaxBytes < leastRetentionBytes {
		p.Addf("retention.max_bytes", "is %s, must be at least %s", c.Retention.MaxBytes, leastRetentionBytes)
	}
	if c.Retention.MaxAge < unit.Duration(time.Minute) {
		p.Addf("retention.max_age", "is %s, must be at least 1m", c.Retention.MaxAge)
	}
	registry.CheckWord(p, "on_log_full", c.OnLogFull, OnLogFullCommit, OnLogFullRefuse)
	if c.Durable {
		return
	}
	if c.Retention != (RetentionConfig{MaxBytes: defaultRetentionBytes, MaxAge: unit.Duration(defaultRetentionAge)}) {
		p.Addf("retention", "is for sources with durable: true")
	}
	if c.OnLogFull != OnLogFullCommit {
		p.Addf("on_log_full", "is for sources with durable: true")
	}
}

// Validate implements registry.Config.
func (c *SQLiteConfig) Validate() error {
	var p registry.Problems
	if c.DBResource.IsZero() {
		p.Addf("db_resource", "is required: name the db.sql.sqlite entry to capture")
	}
	validateTables(&p, c.Tables, strings.ToLower)
	for _, name := range c.Tables {
		if schema, _, ok := strings.Cut(name, "."); ok && !strings.EqualFold(schema, "main") {
			p.Addf("tables", "%q: only tables of the main database are captured", name)
		}
	}
	validateTiming(&p, "status_interval", c.StatusInterval)
	validateTiming(&p, "ack_interval", c.AckInterval)
	validateLogBytes(&p, c.LogBytes)
	c.Subscriptions.validate(&p)
	c.validateDurable(&p)
	return p.Err()
}

// PostgresConfig configures a db.cdc.postgres entry. The connection is given either by DBResource or by its own
// fields.
type PostgresConfig struct {
	// DBResource is a db.sql.postgres entry whose connection settings are used.
	DBResource registry.ID `yaml:"db_resource" ref:"db.sql.postgres"`
	Host       string      `yaml:"host"`
	// Port defaults to 5432.
	Port     int    `yaml:"port"`
	Database string `yaml:"database"`
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"true"`
	// HostEnv and its siblings name environment variables that give the fields of the same name.
	HostEnv     string `yaml:"host_env"`
	PortEnv     string `yaml:"port_env"`
	DatabaseEnv string `yaml:"database_env"`
	UsernameEnv string `yaml:"username_env"`
	PasswordEnv string `yaml:"password_env"`
	// Options are further connection parameters, for instance sslmode.
	Options map[string]string `yaml:"options" secret:"true"`
	// SlotName is the replication slot, created if it does not exist.
	SlotName string `yaml:"slot_name"`
	// Publication is an existing publication; Tables makes one named after the slot. One of them is required.
	Publication string   `yaml:"publication"`
	Tables      []string `yaml:"tables"`
	// Snapshot is whether streams that do not say begin with a snapshot.
	Snapshot bool `yaml:"snapshot"`
	// SnapshotFetchSize is how many rows a snapshot fetches at a time. Default 1000.
	SnapshotFetchSize int `yaml:"snapshot_fetch_size"`
	// Streaming asks for large transactions before they commit (protocol version 2).
	Streaming bool `yaml:"streaming"`
	// Temporary makes a slot that ends with the connection.
	Temporary bool `yaml:"temporary"`
	// Failover marks the slot for synchronisation to standbys (server 17 or newer).
	Failover bool `yaml:"failover"`
	// StandbyInterval is how often positions are confirmed to the server. Default 10s.
	StandbyInterval unit.Duration `yaml:"standby_interval"`
	// StatusInterval is how often the checkpoint is written. Default 30s.
	StatusInterval unit.Duration `yaml:"status_interval"`
	// AckInterval is how often the acknowledged positions of consumers are written. Default 1s.
	AckInterval unit.Duration `yaml:"ack_interval"`
	// OnIdle says what happens while no stream is open: hold or discard. Default hold.
	OnIdle        string              `yaml:"on_idle"`
	LogBytes      unit.Size           `yaml:"log_bytes"`
	Subscriptions SubscriptionsConfig `yaml:"subscriptions"`
}

// A publication is named after the slot, with _pub behind it, and no name is longer than 63 bytes.
const maxOwnSlotName = 63 - len("_pub")

// SetDefaults implements registry.Config.
func (c *PostgresConfig) SetDefaults() {
	c.SnapshotFetchSize = 1000
	c.StandbyInterval = unit.Duration(10 * time.Second)
	c.StatusInterval = unit.Duration(defaultStatusInterval)
	c.AckInterval = unit.Duration(defaultAckInterval)
	c.OnIdle = "hold"
	c.LogBytes = DefaultLogBytes
}

// Slot names are restricted by the server:
// https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// Validate implements registry.Config.
func (c *PostgresConfig) Validate() error {
	var p registry.Problems
	c.validateConnection(&p)
	switch {
	case c.SlotName == "":
		p.Addf("slot_name", "is required: name the replication slot of this source")
	case !slotName.MatchString(c.SlotName):
		p.Addf("slot_name", "%q: only a-z, 0-9 and _ are allowed, 63 characters at most", c.SlotName)
	}
	switch {
	case c.Publication == "" && len(c.Tables) == 0:
		p.Addf("publication", "is required, or tables: say what to capture")
	case c.Publication == "" && len(c.SlotName) > maxOwnSlotName:
		p.Addf("slot_name", "%q is longer than %d characters, and the publication made for tables is named after it", c.SlotName, maxOwnSlotName)
	case c.Publication != "" && len(c.Tables) > 0:
		p.Addf("tables", "give either publication or tables, not both")
	}
	if c.Failover && c.Temporary {
		p.Addf("failover", "a temporary slot cannot fail over: remove one of failover and temporary")
	}
	if c.SnapshotFetchSize < 1 {
		p.Addf("snapshot_fetch_size", "must be at least 1")
	}
	registry.CheckWord(&p, "on_idle", c.OnIdle, "hold", "discard")
	// Names that differ in case are different tables here, or the same one named twice, which does no harm.
	validateTables(&p, c.Tables, func(name string) string { return name })
	validateTiming(&p, "standby_interval", c.StandbyInterval)
	validateTiming(&p, "status_interval", c.StatusInterval)
	validateTiming(&p, "ack_interval", c.AckInterval)
	validateLogBytes(&p, c.LogBytes)
	c.Subscriptions.validate(&p)
	return p.Err()
}

// Address returns the connection fields.
func (c *PostgresConfig) Address() *sqlapi.PostgresAddress {
	return &sqlapi.PostgresAddress{
		Host: c.Host, Port: c.Port, Database: c.Database, Username: c.Username, Password: c.Password,
		HostEnv: c.HostEnv, PortEnv: c.PortEnv, DatabaseEnv: c.DatabaseEnv, UsernameEnv: c.UsernameEnv, PasswordEnv: c.PasswordEnv,
		Options: c.Options,
	}
}

func (c *PostgresConfig) validateConnection(p *registry.Problems) {
	own := c.Host != "" || c.HostEnv != "" || c.Database != "" || c.DatabaseEnv != ""
	switch {
	case c.DBResource.IsZero() && !own:
		p.Addf("db_resource", "is required, or host and database: say where the server is")
	case !c.DBResource.IsZero() && own:
		p.Addf("db_resource", "give either db_resource or the connection fields, not both")
	}
	if own && (c.Host == "" && c.HostEnv == "" || c.Database == "" && c.DatabaseEnv == "") {
		p.Addf("host", "give both host and database")
	}
	c.Address().Validate(p)
}

// validateTables reports names that are empty or come twice; fold makes names equal that mean the same table.
func validateTables(p *registry.Problems, tables []string, fold func(name string) string) {
	seen := make(map[string]bool, len(tables))
	for _, name := range tables {
		folded := fold(name)
		switch {
		case strings.TrimSpace(name) == "":
			p.Addf("tables", "has an empty name")
		case seen[folded]:
			p.Addf("tables", "names %q twice", name)
		}
		seen[folded] = true
	}
}

func validateTiming(p *registry.Problems, field string, d unit.Duration) {
	if d < unit.Duration(100*time.Millisecond) {
		p.Addf(field, "is %s, must be at least 100ms", d)
	}
}

func validateLogBytes(p *registry.Problems, size unit.Size) {
	if size < 64*unit.KiB {
		p.Addf("log_bytes", "is %s, must be at least 64KiB", size)
	}
}
