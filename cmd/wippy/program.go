package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// program is one invocation of wippy and all it has of the world.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	// hangups begins to deliver the signal that asks a running app to reload.
	hangups func() <-chan os.Signal
	// exit ends the process at once.
	exit func(code int)

	// messages is stderr for all that the program says itself.
	messages *messages

	verbose, silent bool
	logFormat       string
}

// exitCode is the result of a command that is neither plain success nor an error to be shown.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// interrupted is why a context ends when the program gets a signal.
type interrupted struct{ signal os.Signal }

// Error implements error.
func (i interrupted) Error() string { return "got the signal " + i.signal.String() }

// code is the exit code by which shells know that a signal has ended a program.
func (i interrupted) code() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 1
}

// run runs the command line and returns the exit code.
func (p *program) run(args []string) int {
	ctx, stop := p.untilSignal(context.Background())
	defer stop()
	p.messages = newMessages(p.stderr)
	defer p.messages.flush(ctx)
	root := p.command()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	fmt.Fprintf(p.messages, "wippy: %s\n", printable.Lines(err.Error()))
	return 1
}

// untilSignal returns a context that the first signal ends. The second one ends the program at once.
func (p *program) untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case s := <-p.signals:
				if n > 1 {
					p.exit(interrupted{s}.code())
					return
				}
				cancel(interrupted{s})
			case <-stopped:
				return
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		close(stopped)
		<-done
	}
}

// command is the tree of commands.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "wippy",
		Short:         "Run apps that are declared in YAML and written in Lua",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownWord(cmd, args[0])
		},
		// Also commands that do not log refuse what the flags of the log cannot be.
		PersistentPreRunE: func(*cobra.Command, []string) error {
			_, err := p.logger()
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// How many letters may be wrong for a command to be meant.
		SuggestionsMinimumDistance: 2,
	}
	flags := root.PersistentFlags()
	flags.BoolVarP(&p.verbose, "verbose", "v", false, "log in detail")
	flags.BoolVarP(&p.silent, "silent", "s", false, "do not log")
	flags.StringVar(&p.logFormat, "log-format", "console", "console or json")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(p.runCommand(), p.testCommand(), p.validateCommand(), p.initCommand(), p.statusCommand(), p.reloadCommand(), p.tailCommand(),
		p.consumersCommand(), p.versionCommand())
	return root
}

// flagError says which flag was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	if unknown.GetSpecifiedName() == "C" && strings.Contains(cmd.Use, "[dir]") {
		return fmt.Errorf("%w; the directory is an argument: %s DIR", err, cmd.CommandPath())
	}
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if near := suggest.Nearest(unknown.GetSpecifiedName(), names); near != "" && unknown.GetSpecifiedShortnames() == "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath())
}

// flagsOnly refuses all arguments. A directory is named by a flag.
func flagsOnly(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case isPath(args[0]) || isDirectory(args[0]):
		return fmt.Errorf("%s: takes no argument; did you mean: %s -C %s?", cmd.Name(), cmd.CommandPath(), args[0])
	default:
		return fmt.Errorf("%s: takes no argument, and got %q; %s --help lists the flags", cmd.Name(), args[0], cmd.CommandPath())
	}
}

// unknownWord is the error of a command line whose first word is no command of wippy. It may be one of an app.
func unknownWord(root *cobra.Command, word string) error {
	if similar := root.SuggestionsFor(word); len(similar) > 0 {
		return fmt.Errorf("unknown command %q; did you mean: wippy %s?", word, similar[0])
	}
	if isDirectory(word) || hasCommand(".", word) {
		return fmt.Errorf("unknown command %q; did you mean: wippy run %[1]s?", word)
	}
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q; there are %s; a command of an app is run by: wippy run %[1]s",
		word, strings.Join(names, ", "))
}
