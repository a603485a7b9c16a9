package main

import (
	"context"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/inspect"
)

// completionTimeout is how long a shell waits for what a running app knows.
const completionTimeout = time.Second

// with calls do with a client of the app.
func (r *remote) with(command string, do func(*client) error) error {
	c, err := r.connect(command)
	if err != nil {
		return err
	}
	defer c.close()
	return do(c)
}

// complete lists words that a running app knows; none if it cannot be asked.
func (r *remote) complete(args []string, ask func(ctx context.Context, c *client) []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	var words []string
	_ = r.with("complete", func(c *client) error { // a shell has no place for the error
		words = ask(ctx, c)
		return nil
	})
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (r *remote) completeSources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return r.complete(args, sourcesOf)
}

// sourcesOf lists the sources of an app, none if it cannot be asked.
func sourcesOf(ctx context.Context, c *client) (names []string) {
	var all inspect.SourceList
	if c.get(ctx, "/api/sources", &all) == nil {
		for _, one := range all.Sources {
			names = append(names, one.ID)
		}
	}
	return names
}

// completeTables lists the tables of the source that is named, or of all.
func (r *remote) completeTables(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return r.complete(nil, func(ctx context.Context, c *client) (words []string) {
		names := sourcesOf(ctx, c)
		if len(args) > 0 {
			names = []string{sourceNamed(args[0], names)}
		}
		for _, name := range names {
			var all inspect.TableList
			if c.get(ctx, "/api/sources/"+url.PathEscape(name)+"/tables", &all) == nil {
				words = append(words, all.Tables...)
			}
		}
		return words
	})
}

func (r *remote) completeConsumers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return r.complete(args, func(ctx context.Context, c *client) (words []string) {
		var all inspect.ConsumerList
		if c.get(ctx, "/api/consumers", &all) == nil {
			for _, one := range all.Consumers {
				words = append(words, one.Name)
			}
		}
		return words
	})
}
