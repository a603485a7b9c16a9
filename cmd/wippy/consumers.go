package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

const consumersHelp = `List the named consumers of a running app, end one, or make one go on elsewhere.

  wippy consumers [ls]                        lists them, with what they have acknowledged and how much lies behind that
  wippy consumers forget NAME                 ends one: what is kept for it is freed, and its next stream is a first one
  wippy consumers reset NAME --to live        makes one that has no stream go on with what commits from now on,
  wippy consumers reset NAME --to snapshot    with a snapshot,
  wippy consumers reset NAME --to CURSOR      or behind a position, back as far as the log goes

Where consumers of several sources have the name, --source says which. The app is that of the current directory or of
-C DIR, or the one at --addr URL. In a pipe, and with --json, the list is lines of JSON.`

const forgetHelp = `End a consumer: what is kept for it is freed, and the next stream of its name is a first one.

The consumer whose name is the ID of a sink belongs to that sink. While the sink delivers it cannot be forgotten. If it is
forgotten while the sink is faulted, what the sink had not delivered is passed over, unless it begins with a snapshot.
To end the sink delete its entry and reload the app, which forgets the consumer as well; to let it go on elsewhere use
wippy consumers reset.`

func (p *program) consumersCommand() *cobra.Command {
	var from remote
	var asJSON bool
	list := func(cmd *cobra.Command, _ []string) error {
		return from.with("consumers", func(c *client) error { return p.listConsumers(cmd.Context(), c, asJSON) })
	}
	cmd := &cobra.Command{
		Use: "consumers", Short: "List named consumers, end or reset them", Long: consumersHelp, RunE: list,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if isPath(args[0]) || isDirectory(args[0]) {
				return flagsOnly(cmd, args)
			}
			return fmt.Errorf("consumers: %q is not known: use ls, forget or reset", args[0])
		},
	}
	from.flags(cmd)
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "write JSON lines on a terminal, too")
	cmd.AddCommand(
		&cobra.Command{Use: "ls", Short: "List named consumers", Args: flagsOnly, RunE: list},
		p.forgetCommand(&from), p.resetCommand(&from),
	)
	return cmd
}

func (p *program) listConsumers(ctx context.Context, c *client, asJSON bool) error {
	var all inspect.ConsumerList
	if err := c.get(ctx, "/api/consumers", &all); err != nil {
		return err
	}
	if asJSON || !isTerminal(p.stdout) {
		return lines(nil, p.stdout, "consumer", all.Consumers)
	}
	if len(all.Consumers) == 0 {
		_, err := fmt.Fprintln(p.stdout, c.noConsumers(ctx))
		return err
	}
	consumerTable(all.Consumers).write(p.stdout, paletteFor(p.stdout))
	return nil
}

// noConsumers says why there are none.
func (c *client) noConsumers(ctx context.Context) string {
	var all inspect.SourceList
	err := c.get(ctx, "/api/sources", &all)
	durable := func(s inspect.Source) bool { return s.Capabilities.Replayable }
	switch {
	case err == nil && len(all.Sources) == 0:
		return "the app has no source of changes, and so no named consumer"
	case err == nil && !slices.ContainsFunc(all.Sources, durable):
		return "no source is durable, so that none has named consumers: give one durable: true"
	default:
		return "no source that runs has a named consumer"
	}
}

func (p *program) forgetCommand(from *remote) *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use: "forget NAME", Short: "End a consumer", Long: forgetHelp, Args: cobra.ExactArgs(1), ValidArgsFunction: from.completeConsumers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return from.with("consumers", func(c *client) error {
				one, err := c.consumer(cmd.Context(), args[0], source)
				if err == nil {
					err = c.exchange(cmd.Context(), http.MethodDelete, consumerPath(one), nil, new(inspect.Done))
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.stdout, "%s of %s is forgotten\n", one.Name, one.Source)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "the `ID` of the source whose consumer is meant")
	return cmd
}

func (p *program) resetCommand(from *remote) *cobra.Command {
	var source, to string
	cmd := &cobra.Command{
		Use: "reset NAME --to live|snapshot|CURSOR", Short: "Make a consumer go on elsewhere", Args: cobra.ExactArgs(1),
		ValidArgsFunction: from.completeConsumers,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := inspect.Position{Cursor: to}
			switch to {
			case "":
				return errors.New("consumers: reset: say where it is to go on: --to live, --to snapshot, or --to CURSOR")
			case "live", "snapshot":
				body = inspect.Position{To: to}
			default:
				if near := suggest.Hint(to, []string{"live", "snapshot"}); near != "" {
					return fmt.Errorf("consumers: reset: --to %s is no cursor%s", to, near)
				}
			}
			return from.with("consumers", func(c *client) error {
				one, err := c.consumer(cmd.Context(), args[0], source)
				if err == nil {
					err = c.exchange(cmd.Context(), http.MethodPost, consumerPath(one)+"/reset", body, new(inspect.Done))
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.stdout, "%s of %s goes on: %s%s%s\n", one.Name, one.Source, to, passedOver(to, one), c.reloadOf(cmd.Context(), one))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "the `ID` of the source whose consumer is meant")
	cmd.Flags().StringVar(&to, "to", "", "`WHERE` it goes on: live, snapshot, or a cursor")
	return cmd
}

// passedOver says how much a consumer will not get that was reset, as far as the app has told before.
func passedOver(to string, one *inspect.Consumer) string {
	switch n := one.LagTransactions; {
	case to != "live" || n == nil || *n == 0:
		return ""
	case *n == 1:
		return ", and 1 transaction before it is passed over"
	default:
		return fmt.Sprintf(", and %d transactions before it are passed over", *n)
	}
}

// reloadOf says how the sink goes on that a consumer is, if it has ended: a reset does not start it.
func (c *client) reloadOf(ctx context.Context, one *inspect.Consumer) string {
	var status inspect.Status
	if err := c.get(ctx, "/api/status", &status); err != nil {
		return "; if it is a sink that is faulted, reload the app"
	}
	for _, sink := range status.Sinks {
		if sink.ID == one.Name && sink.Source == one.Source && sink.State == api.StateFaulted {
			return "; the sink is faulted until the app is reloaded: wippy reload -C " + status.App.Dir
		}
	}
	return ""
}

func consumerPath(one *inspect.Consumer) string {
	return "/api/sources/" + url.PathEscape(one.Source) + "/consumers/" + url.PathEscape(one.Name)
}

// consumer finds the consumer that a user means.
func (c *client) consumer(ctx context.Context, name, source string) (*inspect.Consumer, error) {
	var all inspect.ConsumerList
	if err := c.get(ctx, "/api/consumers", &all); err != nil {
		return nil, err
	}
	var found []inspect.Consumer
	var names, sources []string
	for _, one := range all.Consumers {
		if one.Name == name && (source == "" || one.Source == source) {
			found, sources = append(found, one), append(sources, one.Source)
		}
		names = append(names, one.Name)
	}
	switch len(found) {
	case 1:
		return &found[0], nil
	case 0:
		if len(names) == 0 {
			return nil, fmt.Errorf("consumers: there is no %q: %s", name, c.noConsumers(ctx))
		}
		return nil, fmt.Errorf("consumers: no source that runs has a consumer %q; there are %s", name, strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("consumers: several sources have a consumer %q, say which: --source %s", name, strings.Join(sources, " or --source "))
	}
}
