package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/boot"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

const testHelp = `Run the tests of an app: its processes with meta.command.use_case: test, in the order of their names.

  wippy test                    the tests of the app in the current directory
  wippy test DIR                the tests of the app in DIR
  wippy test [DIR] NAME...      those of these names only

Each of them runs on a terminal host, together with what it requires (lifecycle.requires); nothing else is started, also
if it has auto_start. A test has passed unless it returns an error, false or a number other than 0; each is reported in
a line, and all of them in the last one. The exit code is 1 if any has failed. The module test helps to write tests.`

func (p *program) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [dir] [name...]",
		Short: "Run the tests of an app",
		Long:  testHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && !p.namesTest(args[0]) {
				return p.test(cmd.Context(), args[0], args[1:])
			}
			return p.test(cmd.Context(), ".", args)
		},
	}
}

// namesTest reports whether the first argument is the name of a test and not a directory. What leads to an app is a
// directory: nothing else is looked at.
func (p *program) namesTest(arg string) bool {
	if isPath(arg) || hasApp(arg) {
		return false
	}
	app, err := boot.Load(boot.Settings{Dir: "."})
	if err != nil {
		// Without an app here it can only be a directory; else the problems of the app are shown.
		return !errs.Is(err, errs.NotFound) && !isDirectory(arg)
	}
	return !isDirectory(arg) || slices.ContainsFunc(testsOf(app), func(c process.Command) bool { return c.Name == arg })
}

// test runs the tests of these names, or all, of the app in dir.
func (p *program) test(ctx context.Context, dir string, names []string) error {
	app, err := p.load(boot.Settings{Dir: dir})
	if err != nil {
		return err
	}
	tests, err := selectTests(app, dir, names)
	if err != nil {
		return err
	}
	failed := 0
	for _, test := range tests {
		exit, err := app.Test(ctx, test.ID)
		err = p.ended(ctx, test.ID, exit, err)
		if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
			fmt.Fprintf(p.messages, "wippy: test %s: %v\n", test.Name, cause)
			return err
		}
		if err != nil {
			failed++
		}
		if err := p.report(test, err); err != nil {
			return err
		}
	}
	return p.sum(len(tests)-failed, failed)
}

// report prints how a test has ended, in the way the module test does for its cases.
func (p *program) report(test process.Command, failure error) error {
	line := "ok   test " + test.Name
	if failure != nil {
		line = "FAIL test " + test.Name + ": " + strings.ReplaceAll(printable.Lines(failure.Error()), "\n", "\n     ")
	}
	_, err := fmt.Fprintln(p.stdout, line)
	return err
}

// sum prints the total and makes the exit code.
func (p *program) sum(passed, failed int) error {
	line := fmt.Sprintf("%s: %d passed", count(passed+failed, "test", "tests"), passed)
	if failed > 0 {
		line += fmt.Sprintf(", %d failed", failed)
	}
	if _, err := fmt.Fprintln(p.stdout, line); err != nil {
		return err
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

// selectTests returns the tests of these names, or all, in the order of their names.
func selectTests(app *boot.App, dir string, names []string) ([]process.Command, error) {
	all := testsOf(app)
	if len(all) == 0 {
		return nil, fmt.Errorf("test: the app in %q has no tests: no process.lua entry has meta.command with use_case: test", dir)
	}
	if len(names) == 0 {
		return all, nil
	}
	var selected []process.Command
	var known []string
	unknown := slices.Clone(names)
	for _, test := range all {
		known = append(known, test.Name)
		if slices.Contains(names, test.Name) {
			selected = append(selected, test)
			unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == test.Name })
		}
	}
	if len(unknown) == 0 {
		return selected, nil
	}
	return nil, fmt.Errorf("test: the app in %q has no test %q%s; it has %s",
		dir, unknown[0], suggest.Hint(unknown[0], known), strings.Join(known, ", "))
}

func testsOf(app *boot.App) []process.Command {
	var tests []process.Command
	for _, c := range app.Commands() {
		if c.UseCase == process.UseCaseTest {
			tests = append(tests, c)
		}
	}
	return tests
}
