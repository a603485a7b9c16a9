package sql

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// PostgresConfig configures a db.sql.postgres entry.
type PostgresConfig struct {
	PostgresAddress `yaml:",inline"`
	// Pool bounds the connections.
	Pool PostgresPoolConfig `yaml:"pool"`
	// MaxResultBytes bounds the rows that one query of a script returns, as they are in memory. Default 256MiB.
	MaxResultBytes unit.Size `yaml:"max_result_bytes"`
}

// PostgresPoolConfig bounds the connections to a Postgres database.
type PostgresPoolConfig struct {
	// MaxOpen is how many connections there may be. Default 10.
	MaxOpen int `yaml:"max_open"`
	// MaxIdle is how many of them are kept while they are not used. Default 2.
	MaxIdle int `yaml:"max_idle"`
	// MaxLifetime is the age at which a connection is replaced; 0 keeps it for ever. Default 1h.
	MaxLifetime unit.Duration `yaml:"max_lifetime"`
}

// PostgresAddress is what a user writes to say where a Postgres database is and who asks.
type PostgresAddress struct {
	// Host is a name, an address or the directory of a Unix socket.
	Host string `yaml:"host"`
	// Port defaults to 5432.
	Port     int    `yaml:"port"`
	Database string `yaml:"database"`
	// Username defaults to the name of the account that the program runs as.
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"true"`
	// HostEnv and its siblings name environment variables that give the fields of the same name.
	HostEnv     string `yaml:"host_env"`
	PortEnv     string `yaml:"port_env"`
	DatabaseEnv string `yaml:"database_env"`
	UsernameEnv string `yaml:"username_env"`
	PasswordEnv string `yaml:"password_env"`
	// Options are further connection parameters, for instance sslmode, see
	// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS, or settings of the session.
	Options map[string]string `yaml:"options" secret:"true"`
}

// SetDefaults implements registry.Config.
func (c *PostgresConfig) SetDefaults() {
	c.Pool = PostgresPoolConfig{MaxOpen: 10, MaxIdle: 2, MaxLifetime: unit.Duration(time.Hour)}
	c.MaxResultBytes = defaultResultBytes
}

// Validate implements registry.Config.
func (c *PostgresConfig) Validate() error {
	var p registry.Problems
	if c.Host == "" && c.HostEnv == "" {
		p.Addf("host", "is required: name the server")
	}
	if c.Database == "" && c.DatabaseEnv == "" {
		p.Addf("database", "is required: name the database")
	}
	c.PostgresAddress.Validate(&p)
	checkResultBytes(&p, c.MaxResultBytes)
	if c.Pool.MaxOpen < 1 {
		p.Addf("pool.max_open", "must be at least 1")
	}
	if c.Pool.MaxIdle < 0 || c.Pool.MaxIdle > c.Pool.MaxOpen {
		p.Addf("pool.max_idle", "is %d, must be 0 to max_open (%d)", c.Pool.MaxIdle, c.Pool.MaxOpen)
	}
	if c.Pool.MaxLifetime < 0 {
		p.Addf("pool.max_lifetime", "must not be negative; 0 keeps connections for ever")
	}
	return p.Err()
}

// Validate adds the problems of the fields that are given.
func (a *PostgresAddress) Validate(p *registry.Problems) {
	if a.Port < 0 || a.Port > 65535 {
		p.Addf("port", "%d is not a port", a.Port)
	}
	for _, twin := range []struct{ field, value, env string }{
		{"host", a.Host, a.HostEnv},
		{"database", a.Database, a.DatabaseEnv},
		{"username", a.Username, a.UsernameEnv},
		{"password", a.Password, a.PasswordEnv},
	} {
		switch {
		case twin.value != "" && twin.env != "":
			p.Addf(twin.field+"_env", "give either %s or %s_env, not both", twin.field, twin.field)
		case twin.env != "" && !isVariable(twin.env):
			p.Addf(twin.field+"_env", "is not the name of an environment variable; a value belongs to the field %s", twin.field)
		case twin.field != "password" && isURL(twin.value):
			p.Addf(twin.field, "%s", urlRefused)
		}
	}
	if a.Port != 0 && a.PortEnv != "" {
		p.Addf("port_env", "give either port or port_env, not both")
	}
	for name := range a.Options {
		switch name {
		case "host", "port", "password":
			p.Addf("options."+name, "write it as the field %s", name)
		case "user":
			p.Addf("options.user", "write it as the field username")
		case "dbname", "database":
			p.Addf("options."+name, "write it as the field database")
		default:
			if !isPragmaName(name) {
				p.Addf("options."+name, "is not the name of a parameter")
			}
		}
	}
}

// Resolve returns where the server is, with environment variables replaced by their values. The error names a
// variable that is not set or whose value cannot be used, never its value.
func (a *PostgresAddress) Resolve(lookup func(name string) (string, bool)) (PostgresSettings, error) {
	var missing, urls []string
	value := func(plain, env string) string {
		if env == "" {
			return plain
		}
		v, ok := lookup(env)
		if !ok || v == "" {
			missing = append(missing, a.shown(env))
		}
		if env != a.PasswordEnv && isURL(v) {
			urls = append(urls, env)
		}
		return v
	}
	s := PostgresSettings{
		Host: value(a.Host, a.HostEnv), Port: a.Port, Database: value(a.Database, a.DatabaseEnv),
		Username: value(a.Username, a.UsernameEnv), Password: value(a.Password, a.PasswordEnv), Options: a.Options,
	}
	port := value("", a.PortEnv)
	if len(missing) > 0 {
		slices.Sort(missing)
		return s, fmt.Errorf("not set in the environment: %s", strings.Join(missing, ", "))
	}
	if len(urls) > 0 {
		return s, fmt.Errorf("the environment variable %s %s", urls[0], urlRefused)
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return s, fmt.Errorf("the environment variable %s does not hold a port", a.PortEnv)
		}
		s.Port = int(n)
	}
	return s, nil
}

// urlRefused is what is wrong with a URL in a field that takes a part of one: the driver would show it, with the
// password in it, in each of its errors.
const urlRefused = "is a URL: write host, port, database, username and password in fields of their own"

// isURL reports whether the value of a host, a database or a user holds more than that.
func isURL(value string) bool {
	return strings.Contains(value, "://") || (strings.Contains(value, "@") && strings.Contains(value, ":"))
}

func isVariable(name string) bool {
	return isPragmaName(name) && (name[0] < '0' || name[0] > '9')
}

// shown returns the name of an environment variable, unless it may be the password itself, written into the wrong
// field.
func (a *PostgresAddress) shown(env string) string {
	if env == a.PasswordEnv && env != strings.ToUpper(env) {
		return "the variable that password_env names (it is not shown, for what is not in capitals may be the password itself)"
	}
	return env
}

// PostgresSettings says where a Postgres database is and how to connect to it.
type PostgresSettings struct {
	Host     string
	Port     int
	Database string
	Username string
	// Password is secret: it appears nowhere but here.
	Password string
	Options  map[string]string
}

// String describes the settings without the password.
func (s PostgresSettings) String() string {
	return fmt.Sprintf("%s@%s:%d/%s", s.Username, s.Host, s.port(), s.Database)
}

// GoString describes the settings without the password.
func (s PostgresSettings) GoString() string { return s.String() }

func (s PostgresSettings) port() int {
	if s.Port == 0 {
		return 5432
	}
	return s.Port
}

// ConnectionString returns the settings as keywords and values, without the password.
func (s PostgresSettings) ConnectionString() string {
	all := map[string]string{"host": s.Host, "port": strconv.Itoa(s.port()), "dbname": s.Database}
	if s.Username != "" {
		all["user"] = s.Username
	}
	maps.Copy(all, s.Options)
	words := make([]string, 0, len(all))
	for name, value := range all {
		value = strings.ReplaceAll(strings.ReplaceAll(value, `\`, `\\`), `'`, `\'`)
		words = append(words, name+"='"+value+"'")
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// PostgresDB is a DB whose server takes other connections too, such as those for replication.
type PostgresDB interface {
	DB
	// Settings returns what the database was opened with.
	Settings() PostgresSettings
}
