package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/boot"
)

// template is the app that init writes.
//
//go:embed all:template
var template embed.FS

func (p *program) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [dir]",
		Short: "Write a small app that runs",
		Long: `Write a small app to a directory, the current one if none is named: declarations, a script that writes to a database, and
one that reads its changes. A directory that does not exist is made. Nothing is overwritten: a directory that holds an
app, or one of the files, is refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return p.initialize(dir)
		},
	}
}

// initialize writes the app to a directory.
func (p *program) initialize(dir string) error {
	files, err := fs.Sub(template, "template")
	if err != nil {
		return err
	}
	if err := vacant(dir, files); err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("init %q: %w", dir, err)
	}
	run := "wippy run"
	if dir != "." {
		run += " " + dir
	}
	_, err = fmt.Fprintf(p.stdout, "%s: wrote a small app; start it: %s\n", dir, run)
	return err
}

// vacant says why an app cannot be written to a directory.
func vacant(dir string, files fs.FS) error {
	var there []string
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if _, err := os.Lstat(filepath.Join(dir, path)); err == nil {
			there = append(there, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("init %q: %w", dir, err)
	case len(there) > 0:
		return fmt.Errorf("init %q: there is %s already, and nothing is overwritten: name another directory", dir, strings.Join(there, ", "))
	case !isDirectory(dir):
		return nil
	}
	if _, err := boot.Load(boot.Settings{Dir: dir}); !errs.Is(err, errs.NotFound) {
		return fmt.Errorf("init %q: it holds an app already: name another directory", dir)
	}
	return nil
}
