package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/internal/appsocket"
)

const reloadHelp = `Make a running app read its declarations and scripts anew, as SIGHUP does, which this command sends to it.

The app is that of the current directory or of -C DIR. It checks all files first: if anything is wrong with them it logs
every problem and goes on as it was, else it stops and starts what has changed. What has become of it is in its log;
wippy validate tells before whether the files are in order.`

func (p *program) reloadCommand() *cobra.Command {
	var from remote
	cmd := &cobra.Command{
		Use: "reload", Short: "Make a running app read its files anew", Long: reloadHelp, Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from.address != "" {
				return errors.New("reload: --addr: an app is asked by a signal, which reaches only this machine: log in there, and give its directory by -C")
			}
			return from.with("reload", func(c *client) error { return p.reload(cmd.Context(), c, from.dir) })
		},
	}
	from.flags(cmd)
	return cmd
}

// reload sends the signal to the app that a client asks, which is that of the socket below dir.
func (p *program) reload(ctx context.Context, c *client, dir string) error {
	var status inspect.Status
	if err := c.get(ctx, "/api/status", &status); err != nil {
		return err
	}
	app := status.App
	if !app.Reloads {
		return fmt.Errorf("reload: in %q a command runs, process %d, which the signal would end: what it runs was read at its start", app.Dir, app.PID)
	}
	pid, err := appsocket.Process(ctx, dir, app.PID)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGHUP)
	}
	if err != nil {
		return errs.New(errs.Unavailable, "reload: send the signal to process %d of the app in %q: %w", pid, app.Dir, err)
	}
	_, err = fmt.Fprintf(p.stdout, "the app in %s, process %d, was asked to read its files anew: its log tells what it does\n", app.Dir, pid)
	return err
}
