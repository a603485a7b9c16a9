package sqlite

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

// ParseDSN reads the name of a database as Go programs write it, such as app.db, :memory: or
// file:app.db?_foreign_keys=on, into cfg and p. It takes the parameters of
// https://github.com/mattn/go-sqlite3#connection-string that say something about the writer, and _pragma=name(value)
// for any other pragma. What it does not take is an error.
func ParseDSN(dsn string, cfg *sqlapi.SQLiteConfig, p *Program) error {
	path, query, _ := strings.Cut(dsn, "?")
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return errs.New(errs.Invalid, "sqlite: database %q: %w", dsn, err)
	}
	if cfg.File, err = filePath(path); err != nil {
		return errs.New(errs.Invalid, "sqlite: database %q: %w", dsn, err)
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		for _, value := range parameters[name] {
			if err := setParameter(name, value, cfg, p); err != nil {
				return errs.New(errs.Invalid, "sqlite: database %q: %s: %w", dsn, name, err)
			}
		}
	}
	return nil
}

// filePath returns the path of a file that may be a URI, see https://www.sqlite.org/uri.html.
func filePath(name string) (string, error) {
	rest, isURI := strings.CutPrefix(name, "file:")
	if !isURI {
		return name, nil
	}
	if local, hasAuthority := strings.CutPrefix(rest, "//"); hasAuthority {
		rest = strings.TrimPrefix(local, "localhost")
	}
	return url.PathUnescape(rest)
}

// setParameter sets one parameter.
func setParameter(name, value string, cfg *sqlapi.SQLiteConfig, p *Program) error {
	switch name {
	case "_loc":
		p.Location = value
	case "_txlock":
		p.TxLock = value
	case "_pragma":
		pragma, argument, ok := strings.Cut(strings.TrimSuffix(value, ")"), "(")
		if !ok {
			pragma, argument, ok = strings.Cut(value, "=")
		}
		if !ok {
			return fmt.Errorf("%q is not a pragma: write _pragma=name(value)", value)
		}
		return setPragma(strings.ToLower(strings.TrimSpace(pragma)), strings.TrimSpace(argument), cfg)
	default:
		pragma, known := pragmaOf(name)
		if !known {
			return errors.New("a database that is captured does not take this parameter: remove it, or write _pragma=name(value) if it is a pragma")
		}
		return setPragma(pragma, value, cfg)
	}
	return nil
}

// pragmaOf returns the pragma that a parameter of the driver sets.
func pragmaOf(name string) (pragma string, known bool) {
	short := map[string]string{
		"_timeout": "busy_timeout", "_fk": "foreign_keys", "_sync": "synchronous", "_vacuum": "auto_vacuum", "_cslike": "case_sensitive_like",
		"_defer_fk": "defer_foreign_keys", "_journal": "journal_mode", "_locking": "locking_mode", "_rt": "recursive_triggers",
	}
	if pragma, known = short[name]; known {
		return pragma, true
	}
	pragma, known = strings.CutPrefix(name, "_")
	return pragma, known && slices.Contains([]string{
		"busy_timeout", "foreign_keys", "synchronous", "auto_vacuum", "case_sensitive_like", "defer_foreign_keys", "ignore_check_constraints",
		"journal_mode", "locking_mode", "query_only", "recursive_triggers", "secure_delete", "writable_schema", "cache_size",
	}, pragma)
}

// setPragma sets the field that is for a pragma, or the option of its name.
func setPragma(pragma, value string, cfg *sqlapi.SQLiteConfig) error {
	switch pragma {
	case "busy_timeout":
		milliseconds, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is not a number of milliseconds", value)
		}
		cfg.BusyTimeout = unit.Duration(time.Duration(milliseconds) * time.Millisecond)
	case "foreign_keys":
		switch normal := settings()[pragma].normal(value); normal {
		case "0", "1":
			cfg.ForeignKeys = normal == "1"
		default:
			return fmt.Errorf("%q is neither on nor off", value)
		}
	case "synchronous":
		cfg.Synchronous = strings.ToLower(value)
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < 4 {
			cfg.Synchronous = []string{"off", "normal", "full", "extra"}[n]
		}
	default:
		if cfg.Options == nil {
			cfg.Options = make(map[string]string)
		}
		cfg.Options[pragma] = value
	}
	return nil
}
