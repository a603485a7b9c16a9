//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// content is the rows of tables as texts that tell types apart, by table and key.
type content map[string]map[string]string

// describe writes a database's content the same way however it was come by.
func (c content) describe() string {
	var all strings.Builder
	for _, table := range slices.Sorted(maps.Keys(c)) {
		if len(c[table]) == 0 {
			continue // it may or may not exist
		}
		fmt.Fprintln(&all, table)
		for _, key := range slices.Sorted(maps.Keys(c[table])) {
			fmt.Fprintf(&all, "  %s: %s\n", key, c[table][key])
		}
	}
	return all.String()
}

// apply makes the change.
func (c content) apply(change *api.Change) error {
	table := change.Table.Name
	switch change.Op {
	case api.OpTruncate:
		delete(c, table)
		return nil
	case api.OpSchema:
		c.changeSchema(change)
		return nil
	default:
	}
	if c[table] == nil {
		c[table] = map[string]string{}
	}
	if change.Before != nil {
		key := keyOf(change.Table, change.OldRowID, change.Before)
		if was := c[table][key]; was != rowText(change.Before) {
			return fmt.Errorf("%s %s of %s: the row was %s, before is %s", change.Op, key, table, was, rowText(change.Before))
		}
		delete(c[table], key)
	}
	if change.After != nil {
		key := keyOf(change.Table, change.NewRowID, change.After)
		if was, exists := c[table][key]; exists {
			return fmt.Errorf("%s %s of %s: there is such a row: %s", change.Op, key, table, was)
		}
		c[table][key] = rowText(change.After)
	}
	return nil
}

// changeSchema applies ADD COLUMN without a default, and RENAME.
func (c content) changeSchema(change *api.Change) {
	table := change.Table.Name
	if from := change.Schema.From; from != "" {
		c[table] = c[from]
		delete(c, from)
	}
	for key, row := range c[table] {
		for n := strings.Count(row, "|"); n < len(change.Table.Columns); n++ {
			row += "<nil>|"
		}
		c[table][key] = row
	}
}

func keyOf(table *sqlapi.Table, rowid int64, row []sqlapi.Value) string {
	if table.HasRowID {
		return strconv.FormatInt(rowid, 10)
	}
	var key strings.Builder
	for _, column := range table.Key {
		key.WriteString(valueText(row[column].Any()))
	}
	return key.String()
}

func rowText(row []sqlapi.Value) string {
	var text strings.Builder
	for _, v := range row {
		text.WriteString(valueText(v.Any()))
	}
	return text.String()
}

func valueText(v any) string {
	if b, ok := v.([]byte); ok {
		return fmt.Sprintf("x%x|", b)
	}
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q|", strings.ReplaceAll(s, "|", "/"))
	}
	return fmt.Sprintf("%v|", v)
}

// dump reads the content of a database. Tables whose name begins with w have no rowid and two columns as their key.
func dump(ctx context.Context, db *sql.DB) (content, error) {
	names, err := query(ctx, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '"+api.OffsetsTable+"'")
	if err != nil {
		return nil, err
	}
	all := content{}
	for _, name := range names {
		table, _ := name[0].(string)
		key := "rowid"
		if strings.HasPrefix(table, "w") {
			key = "b, a"
		}
		rows, err := query(ctx, db, "SELECT "+key+", * FROM "+table)
		if err != nil {
			return nil, err
		}
		all[table] = map[string]string{}
		for _, row := range rows {
			text, cut := fmt.Sprint(row[0]), 1
			if key != "rowid" {
				text, cut = valueText(row[0])+valueText(row[1]), 2
			}
			var values strings.Builder
			for _, v := range row[cut:] {
				values.WriteString(valueText(v))
			}
			all[table][text] = values.String()
		}
	}
	return all, nil
}

func query(ctx context.Context, db *sql.DB, text string) (all [][]any, err error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
