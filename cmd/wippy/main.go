// Command wippy runs apps that are declared in YAML and written in Lua.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/wippy-cdc/runtime/internal/heap"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, signals: signals, hangups: hangups, exit: os.Exit,
	}
	ballast := heap.Floor(32 << 20)
	code := p.run(os.Args[1:])
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// hangups begins to deliver SIGHUP, which otherwise ends the program.
func hangups() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals
}
