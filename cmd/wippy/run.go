package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/boot"
)

const runHelp = `Run an app until it is told to stop or has nothing left to do, or run one of its processes.

  wippy run                    the app in the current directory
  wippy run DIR                the app in DIR
  wippy run NAME [args]        the command NAME (meta.command) of the app
  wippy run -x NS:NAME [args]  the process NS:NAME of the app

A command and a process see args as arguments and end the program with their result: a number is the exit
code, true is 0, false is 1, text is printed, an error is 1. The entries with auto_start run meanwhile.`

func (p *program) runCommand() *cobra.Command {
	var execute bool
	var dir string
	cmd := &cobra.Command{
		Use:   "run [dir | NAME [args] | -x NS:NAME [args]]",
		Short: "Run an app, or one of its processes",
		Long:  runHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case execute && len(args) == 0:
				return errors.New("run: -x needs the process to run: wippy run -x NS:NAME [args]")
			case execute:
				return p.runEntry(cmd.Context(), dir, args[0], args[1:])
			case len(args) == 0:
				return p.runApp(cmd.Context(), dir, args)
			default:
				return p.runNamed(cmd.Context(), dir, cmd.Flags().Changed("dir"), args)
			}
		},
	}
	cmd.Flags().BoolVarP(&execute, "execute", "x", false, "run the process that the first argument names")
	cmd.Flags().StringVarP(&dir, "dir", "C", ".", "the app directory")
	// What follows the first argument belongs to the app.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// runApp runs an app until a signal or its own end.
func (p *program) runApp(ctx context.Context, dir string, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("run: %q is a directory, and an app takes no arguments: %s", dir, strings.Join(args, " "))
	}
	app, err := p.load(dir, nil)
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// runNamed runs a command of the app or, if there is none of that name, the app in that directory.
func (p *program) runNamed(ctx context.Context, dir string, dirGiven bool, args []string) error {
	name := args[0]
	info, err := os.Stat(name)
	isDir := err == nil && info.IsDir()
	if isDir && !dirGiven {
		// The directory is meant unless the current directory is an app with such a command.
		app, err := boot.Load(boot.Settings{Dir: dir})
		if err != nil {
			return p.runApp(ctx, name, args[1:])
		}
		if _, found := find(app, name); !found {
			return p.runApp(ctx, name, args[1:])
		}
	}
	app, err := p.load(dir, args[1:])
	_, shown := errors.AsType[exitCode](err)
	switch {
	case err != nil && dirGiven:
		return err
	case shown:
		return fmt.Errorf("run: there is no directory %q, and the app in %q has problems", name, dir)
	case err != nil:
		return fmt.Errorf("run: there is no directory %q, and no app to run a command of that name: %w", name, err)
	}
	command, found := find(app, name)
	if !found {
		return unknownCommand(app, dir, name, dirGiven)
	}
	return p.execute(ctx, app, command.ID, args[1:])
}

func find(app *boot.App, name string) (boot.Command, bool) {
	for _, c := range app.Commands() {
		if c.Name == name {
			return c, true
		}
	}
	return boot.Command{}, false
}

func unknownCommand(app *boot.App, dir, name string, dirGiven bool) error {
	var names []string
	for _, c := range app.Commands() {
		names = append(names, c.Name)
	}
	has := "it has none"
	if len(names) > 0 {
		has = "it has " + strings.Join(names, ", ")
	}
	if dirGiven {
		return fmt.Errorf("run: the app in %q has no command %q; %s", dir, name, has)
	}
	return fmt.Errorf("run: there is no directory %q, and the app in %q has no command of that name; %s", name, dir, has)
}

// runEntry runs the process with an ID.
func (p *program) runEntry(ctx context.Context, dir, entry string, args []string) error {
	id, err := registry.ParseID(entry, "")
	if err != nil {
		return fmt.Errorf("run: -x: %w", err)
	}
	app, err := p.load(dir, args)
	if err != nil {
		return err
	}
	return p.execute(ctx, app, id, args)
}

// execute runs a process and turns its end into that of the program.
func (p *program) execute(ctx context.Context, app *boot.App, id registry.ID, args []string) error {
	values := make([]any, len(args))
	for i, arg := range args {
		values[i] = arg
	}
	exit, err := app.Execute(ctx, id, values)
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return exitCode(cause.code())
	}
	if err = errors.Join(err, exit.Err); err != nil {
		return err
	}
	return p.result(id, exit.Value)
}

// load loads an app with the terminal of this program, and shows its problems.
func (p *program) load(dir string, args []string) (*boot.App, error) {
	logger, err := p.logger()
	if err != nil {
		return nil, err
	}
	app, err := boot.Load(boot.Settings{
		Dir: dir, Logger: logger, Stdin: p.stdin, Stdout: p.stdout, Stderr: p.stderr, Args: args,
	})
	if err != nil {
		return nil, p.showProblems(err)
	}
	return app, nil
}
