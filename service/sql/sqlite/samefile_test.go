package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

// Whatever is opened later comes to the file that was opened first, or is refused.
func TestOtherFileIsNotTakenForTheDatabase(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"moved":   func(file string) error { return os.Rename(file, file+".away") },
		"deleted": os.Remove,
		"replaced": func(file string) error {
			if err := os.WriteFile(file+".new", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "app.db")
			db := open(t, func(c *sqlapi.SQLiteConfig) {
				c.File, c.Pool.MaxLifetime = file, unit.Duration(100*time.Millisecond)
			})
			_, err := db.Pool().ExecContext(t.Context(), "CREATE TABLE t (a)")
			require.NoError(t, err)
			ping := func(ctx context.Context, connection *sql.DB) error { return connection.PingContext(ctx) }
			require.NoError(t, db.WithSideConnection(t.Context(), ping))
			require.NoError(t, change(file))

			err = db.WithSideConnection(t.Context(), ping)
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
			require.ErrorContains(t, err, "was moved, deleted or replaced while it was open")
			_, err = db.Snapshot(t.Context(), func() {})
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
			require.Eventually(t, func() bool { // the writer's connection is replaced when it is old enough
				_, err = db.Pool().ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
				return err != nil
			}, 5*time.Second, 10*time.Millisecond)
			require.Equal(t, errs.Unavailable, errs.KindOf(db.Classify(err)))
			if name == "replaced" {
				content, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Empty(t, content)
			} else {
				require.NoFileExists(t, file)
			}
		})
	}
}
