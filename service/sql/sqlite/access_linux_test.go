package sqlite_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// asOther calls f, if the tests run as root, who may do all, on a thread that uses files as a user who owns none of them. The thread
// ends with it.
func asOther(f func() error) error {
	done := make(chan error)
	go func() {
		var err error
		if os.Geteuid() == 0 {
			runtime.LockOSThread()
			err = unix.Setfsuid(65534)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func TestOpenSaysWhatItMayNotWrite(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(dir, file string) (want string){
		"a new file": func(dir, _ string) string {
			return "the directory " + dir + ", where files beside it are made, cannot be written: permission denied; let user"
		},
		"a file of another user": func(_, file string) string {
			require.NoError(t, os.WriteFile(file, nil, 0o400))
			require.NoError(t, os.Chmod(file, 0))
			return file + " cannot be read and written: permission denied; let user"
		},
		"a directory without room for more": func(dir, file string) string {
			cfg := &sqlapi.SQLiteConfig{File: file}
			cfg.SetDefaults()
			db, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "before"}, cfg, dir)
			require.NoError(t, err)
			mustExec(t, db.Pool(), "CREATE TABLE t (a)")
			require.NoError(t, db.Close())
			require.NoError(t, os.Chmod(file, 0o666))
			return "the directory " + dir + ", where files beside it are made, cannot be written: permission denied; let user"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := t.TempDir()
			require.NoError(t, os.Chmod(filepath.Dir(app), 0o755))
			dir := filepath.Join(app, "data")
			require.NoError(t, os.Mkdir(dir, 0o700))
			want := prepare(dir, filepath.Join(dir, "app.db"))
			require.NoError(t, os.Chmod(dir, 0o555))
			t.Cleanup(func() { require.NoError(t, os.Chmod(dir, 0o700)) })
			cfg := &sqlapi.SQLiteConfig{File: "data/app.db"}
			cfg.SetDefaults()
			err := asOther(func() error {
				_, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, app)
				return err
			})
			require.ErrorContains(t, err, want)
			require.Equal(t, errs.PermissionDenied, errs.KindOf(err), err)
		})
	}
}
