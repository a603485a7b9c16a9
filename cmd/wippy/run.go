package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/boot"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

const runHelp = `Run an app until it is told to stop or has nothing left to do, or run one of its processes.

  wippy run                    the app in the current directory
  wippy run DIR                the app in DIR
  wippy run NAME [args]        the command NAME (meta.command) of the app in the current directory; a directory
                               that holds an app goes before a command of the same name
  wippy run -x NS:NAME [args]  the process NS:NAME of the app

A command and a process see args as arguments and end the program with their result: a number is the exit
code, true is 0, false is 1, text is printed, an error is 1. The entries with auto_start run meanwhile.

SIGINT and SIGTERM stop an app cleanly; a second one ends it at once. SIGHUP, which wippy reload sends, makes a running
app read its declarations and scripts anew: if anything is wrong with them all problems are logged and it goes on as it
was, else what has changed, and what requires it, is stopped and started again.`

// runOptions are the flags of run.
type runOptions struct {
	execute bool
	dir     string
	metrics string
	http    boot.HTTP
	// parse reads flags that follow a directory, and returns what follows them.
	parse func(args []string) ([]string, error)
	// flagError says which flag was probably meant.
	flagError func(error) error
	// dirGiven says that the user has named the app directory.
	dirGiven bool
}

func (p *program) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [dir | NAME [args] | -x NS:NAME [args]]",
		Short: "Run an app, or one of its processes",
		Long:  runHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dirGiven = cmd.Flags().Changed("dir")
			o.flagError = func(err error) error { return flagError(cmd, err) }
			o.parse = func(args []string) ([]string, error) {
				err := cmd.ParseFlags(args)
				return cmd.Flags().Args(), err
			}
			switch {
			case o.execute:
				return p.runEntry(cmd.Context(), &o, o.dir, args)
			case len(args) == 0:
				return p.runApp(cmd.Context(), &o, o.dir)
			default:
				return p.runNamed(cmd.Context(), &o, args[0], args[1:])
			}
		},
	}
	cmd.Flags().BoolVarP(&o.execute, "execute", "x", false, "run the process that the first argument names")
	cmd.Flags().StringVarP(&o.dir, "dir", "C", ".", "the app directory")
	cmd.Flags().StringVar(&o.metrics, "metrics", "",
		"serve Prometheus metrics at `ADDR`, host:port or :port; without a host only this machine can reach it")
	cmd.Flags().StringVar(&o.http.Address, "http", "",
		"serve the app's page and API at `ADDR`, host:port or :port; without a host only this machine can reach it")
	cmd.Flags().StringVar(&o.http.TokenFile, "http-token-file", "",
		"ask for the token in `FILE`; needed for addresses that other machines can reach")
	o.http.Socket, o.http.Version = true, version
	// What follows the name of a command or process belongs to it.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// runApp runs an app until a signal or its own end.
func (p *program) runApp(ctx context.Context, o *runOptions, dir string) error {
	app, err := p.load(boot.Settings{Dir: dir, Metrics: o.metrics, HTTP: o.http, Reload: p.hangups()})
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// runNamed runs the app in a directory, or a command of the app. What leads to an app is that: nothing else is looked at.
func (p *program) runNamed(ctx context.Context, o *runOptions, name string, args []string) error {
	switch {
	case o.dirGiven:
	case isPath(name) && !isDirectory(name):
		return fmt.Errorf("run: there is no directory %q%s", name, similarDirectory(name))
	case isPath(name) || hasApp(name):
		return p.runDirectory(ctx, o, name, args)
	}
	app, err := p.loadQuietly(boot.Settings{Dir: o.dir, Metrics: o.metrics, HTTP: o.http, Args: args})
	if err != nil {
		return p.noCommand(o, name, err)
	}
	command, found := find(app, name)
	if !found {
		return unknownCommand(app, o, name)
	}
	return p.execute(ctx, app, command.ID, args)
}

// noCommand is the error of a name that is no directory of an app, where there is no app to have a command of that name.
func (p *program) noCommand(o *runOptions, name string, err error) error {
	if o.dirGiven {
		return p.showProblems(err)
	}
	problems, ok := errors.AsType[*boot.Problems](err)
	switch {
	case ok:
		return fmt.Errorf("run: %s, and the commands of the app in %q are not known, for it has %s: wippy validate %[2]s",
			noApp(name), o.dir, count(len(problems.List), "problem", "problems"))
	case errs.Is(err, errs.NotFound):
		return fmt.Errorf("run: %s, and no app to run a command of that name: %w", noApp(name), err)
	default:
		return err
	}
}

// noApp says why a name is not the directory of an app.
func noApp(name string) string {
	if isDirectory(name) {
		return fmt.Sprintf("the directory %q holds no app", name)
	}
	return fmt.Sprintf("there is no directory %q%s", name, similarDirectory(name))
}

// isPath reports whether an argument can be a directory only: no command has such a name.
func isPath(arg string) bool {
	return strings.ContainsAny(arg, `/\`) || arg == "." || arg == ".."
}

// hasApp reports whether a directory holds an app, even one with problems.
func hasApp(dir string) bool {
	if !isDirectory(dir) {
		return false
	}
	_, err := boot.Load(boot.Settings{Dir: dir})
	return err == nil || !errs.Is(err, errs.NotFound)
}

// similarDirectory names the directory that was probably meant.
func similarDirectory(path string) string {
	parent, name := filepath.Split(filepath.Clean(path))
	entries, err := os.ReadDir(filepath.Join(".", parent))
	if filepath.IsAbs(path) {
		entries, err = os.ReadDir(parent)
	}
	if err != nil {
		return ""
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	if near := suggest.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %s?", printable.Line(filepath.Join(parent, near)))
	}
	return ""
}

// runDirectory runs the app in a directory; flags may follow, but no arguments.
func (p *program) runDirectory(ctx context.Context, o *runOptions, dir string, args []string) error {
	rest, err := o.parse(args)
	switch {
	case err != nil:
		return o.flagError(err)
	case o.execute:
		return p.runEntry(ctx, o, dir, rest)
	case len(rest) > 0:
		return fmt.Errorf("run: %q is a directory, and an app takes no arguments: %s", dir, strings.Join(rest, " "))
	default:
		return p.runApp(ctx, o, dir)
	}
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// hasCommand reports whether there is an app in dir that has a command of that name.
func hasCommand(dir, name string) bool {
	app, err := boot.Load(boot.Settings{Dir: dir})
	if err != nil {
		return false
	}
	_, found := find(app, name)
	return found
}

func find(app *boot.App, name string) (process.Command, bool) {
	for _, c := range app.Commands() {
		if c.Name == name {
			return c, true
		}
	}
	return process.Command{}, false
}

func unknownCommand(app *boot.App, o *runOptions, name string) error {
	var names []string
	for _, c := range app.Commands() {
		names = append(names, c.Name)
	}
	has := "it has none"
	if len(names) > 0 {
		has = "it has " + strings.Join(names, ", ")
	}
	if near := suggest.Nearest(name, names); near != "" {
		has = "did you mean " + near + "? " + has
	}
	if o.dirGiven {
		return fmt.Errorf("run: the app in %q has no command %q; %s", o.dir, name, has)
	}
	return fmt.Errorf("run: %s, and the app in %q has no command of that name; %s", noApp(name), o.dir, has)
}

// runEntry runs the process whose ID is the first argument.
func (p *program) runEntry(ctx context.Context, o *runOptions, dir string, args []string) error {
	if len(args) == 0 {
		return errors.New("run: -x needs the process to run: wippy run -x NS:NAME [args]")
	}
	id, err := registry.ParseID(args[0], "")
	if err != nil {
		return fmt.Errorf("run: -x: %w", err)
	}
	app, err := p.load(boot.Settings{Dir: dir, Metrics: o.metrics, HTTP: o.http, Args: args[1:]})
	if err != nil {
		return err
	}
	return p.execute(ctx, app, id, args[1:])
}

// execute runs a process and turns its end into that of the program.
func (p *program) execute(ctx context.Context, app *boot.App, id registry.ID, args []string) error {
	values := make([]any, len(args))
	for i, arg := range args {
		values[i] = arg
	}
	exit, err := app.Execute(ctx, id, values)
	return p.ended(ctx, id, exit, err)
}

// ended is what the end of a process means for the program.
func (p *program) ended(ctx context.Context, id registry.ID, exit process.Exit, err error) error {
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		if exit.Err != nil {
			fmt.Fprintf(p.messages, "wippy: %s\n", printable.Lines(exit.Err.Error()))
		}
		return exitCode(cause.code())
	}
	if err = errors.Join(err, exit.Err); err != nil {
		return err
	}
	return p.result(id, exit.Value)
}

// load loads an app with the terminal of this program, and shows its problems.
func (p *program) load(settings boot.Settings) (*boot.App, error) {
	app, err := p.loadQuietly(settings)
	if err != nil {
		return nil, p.showProblems(err)
	}
	return app, nil
}

// loadQuietly is load that leaves the problems to the caller.
func (p *program) loadQuietly(settings boot.Settings) (*boot.App, error) {
	logger, err := p.logger()
	if err != nil {
		return nil, err
	}
	settings.Logger, settings.Stdin, settings.Stdout, settings.Stderr = logger, p.stdin, p.stdout, p.stderr
	return boot.Load(settings)
}
