package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/boot"
)

func (p *program) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [dir]",
		Short: "Report every problem of an app's declarations",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			app, err := boot.Load(boot.Settings{Dir: dir})
			if err != nil {
				return p.showProblems(err)
			}
			_, err = fmt.Fprintf(p.stdout, "%s: %s, no problems\n", dir, count(app.Len(), "entry", "entries"))
			return err
		},
	}
}

// showProblems prints problems of declarations one per line, as compilers do; other errors are returned.
func (p *program) showProblems(err error) error {
	problems, ok := errors.AsType[*boot.Problems](err)
	if !ok {
		return err
	}
	fmt.Fprintln(p.messages, problems)
	fmt.Fprintf(p.messages, "wippy: %s\n", count(len(problems.List), "problem", "problems"))
	return exitCode(1)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
