// Command wippy runs apps that are declared in YAML and written in Lua.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, signals: signals, hangups: hangups, exit: os.Exit,
	}
	os.Exit(p.run(os.Args[1:]))
}

// hangups begins to deliver SIGHUP, which otherwise ends the program.
func hangups() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals
}
