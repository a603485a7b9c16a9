package sqlite_test

import (
	"bufio"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// The child process of TestASecondAppIsRefused: it has a database open until its input ends.
func TestHoldADatabase(t *testing.T) {
	file := os.Getenv("WIPPY_HOLD_DATABASE")
	if file == "" {
		t.Skip("run by TestASecondAppIsRefused")
	}
	db, err := files(t, file).Open(t.Context())
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("open\n")
	require.NoError(t, err)
	_, _ = os.Stdin.Read(make([]byte, 1))
	require.NoError(t, db.Close())
}

func files(t *testing.T, file string, options ...string) *sqlite.File {
	t.Helper()
	cfg := &sqlapi.SQLiteConfig{File: file, Options: map[string]string{}}
	for _, name := range options {
		cfg.Options[name] = "true"
	}
	cfg.SetDefaults()
	return sqlite.NewFiles("", slog.New(slog.DiscardHandler)).File(idOf("db"), cfg)
}

func TestASecondAppIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHoldADatabase$")
	cmd.Env = append(cmd.Environ(), "WIPPY_HOLD_DATABASE="+file)
	stop, err := cmd.StdinPipe()
	require.NoError(t, err)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewScanner(output)
	require.True(t, said.Scan())
	require.Equal(t, "open", said.Text())

	_, err = files(t, file).Open(t.Context())
	require.ErrorContains(t, err, "app.db is open in another app (process "+strconv.Itoa(cmd.Process.Pid)+")")
	require.Equal(t, errs.Conflict, errs.KindOf(err))
	reader, err := files(t, file, "query_only").Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, reader.Close())

	require.NoError(t, stop.Close())
	require.False(t, said.Scan() && said.Text() != "PASS")
	require.NoError(t, cmd.Wait())
	db, err := files(t, file).Open(t.Context())
	require.NoError(t, err)
	require.FileExists(t, file+"-lock")
	require.NoError(t, db.Close())
	require.NoFileExists(t, file+"-lock")
}
