package sqlite

import (
	"strings"
)

// class is what a statement may do, as far as capture must know.
type class uint8

const (
	// reads changes nothing: SELECT, VALUES, EXPLAIN.
	reads class = iota
	// controls opens and ends transactions and savepoints.
	controls
	// pragmas is a PRAGMA that leaves the schema as it is.
	pragmas
	// writes may change rows: INSERT, UPDATE, DELETE, REPLACE, WITH.
	writes
	// creates is CREATE, which adds to the schema. This class and those that follow may change the schema.
	creates
	// alters is everything else, such as ALTER.
	alters
	// drops is DROP, which may delete rows of a table that is gone afterwards.
	drops
	// vacuums is VACUUM, which may give rows other rowids.
	vacuums
)

// classOf tells by the first keyword of the first statement of query.
func classOf(query string) class {
	switch strings.ToUpper(firstWord(query)) {
	case "SELECT", "VALUES", "EXPLAIN":
		return reads
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return controls
	case "PRAGMA":
		if strings.Contains(strings.ToLower(query), "schema") { // writable_schema, schema_version
			return alters
		}
		return pragmas
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH":
		return writes
	case "CREATE":
		return creates
	case "DROP":
		return drops
	case "VACUUM":
		return vacuums
	default:
		return alters
	}
}

// textOf returns the text of a statement if it is needed when the statement runs.
func textOf(what class, query string) string {
	if what < creates {
		return ""
	}
	return query
}

func firstWord(query string) string {
	query = skipBlank(query)
	for i := range len(query) {
		if c := query[i] | 0x20; c < 'a' || c > 'z' {
			return query[:i]
		}
	}
	return query
}

// skipBlank skips white space, comments and empty statements.
func skipBlank(query string) string { return skip(query, space+";") }

// mentionsReturning reports whether a statement may have a RETURNING clause.
func mentionsReturning(query string) bool {
	return strings.Contains(strings.ToUpper(query), "RETURNING")
}

// isSingle reports whether query is certainly one statement. What is not certain is left to SQLite's parser.
func isSingle(query string) bool {
	end := strings.IndexByte(query, ';')
	return end < 0 || strings.Trim(query[end:], " \t\n\r\f;") == ""
}
