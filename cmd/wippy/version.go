package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/boot"
)

// Set by the linker, see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.stdout, "wippy %s (commit %s, %s) %s %s/%s %s\n",
				version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH, boot.Build())
			return err
		},
	}
}
