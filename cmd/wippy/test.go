package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/boot"
)

const testHelp = `Run the tests of an app: its processes with meta.command.use_case: test, in the order of their names.

Each of them runs on a terminal host, together with what it requires (lifecycle.requires); nothing else is started, also
if it has auto_start. A test has passed unless it returns an error, false or a number other than 0; the exit code is
1 if any has not. The module test helps to write tests.`

func (p *program) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [dir]",
		Short: "Run the tests of an app",
		Long:  testHelp,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return p.test(cmd.Context(), dir)
		},
	}
}

// test runs all tests of the app in dir.
func (p *program) test(ctx context.Context, dir string) error {
	app, err := p.load(boot.Settings{Dir: dir})
	if err != nil {
		return err
	}
	tests, failed := testsOf(app), 0
	if len(tests) == 0 {
		return fmt.Errorf("test: the app in %q has no tests: no process.lua entry has meta.command with use_case: test", dir)
	}
	for _, test := range tests {
		exit, err := app.Test(ctx, test.ID)
		err = p.ended(ctx, test.ID, exit, err)
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			continue
		}
		failed++
		fmt.Fprintf(p.stderr, "wippy: test %s: %v\n", test.Name, err)
	}
	if failed == 0 {
		return nil
	}
	fmt.Fprintf(p.stderr, "wippy: %d of %s failed\n", failed, count(len(tests), "test command", "test commands"))
	return exitCode(1)
}

func testsOf(app *boot.App) []boot.Command {
	var tests []boot.Command
	for _, c := range app.Commands() {
		if c.UseCase == boot.UseCaseTest {
			tests = append(tests, c)
		}
	}
	return tests
}
