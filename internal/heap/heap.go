// Package heap keeps the garbage collector from running all the time while the heap is small.
package heap

import "os"

// Floor makes the collector wait until the heap has grown to about size bytes before it runs: by default it begins at
// 4 MiB, and a small program that streams rows would be collected a hundred times a second, each time at the
// expense of the writer (https://go.dev/doc/gc-guide). It does nothing if the environment says how to collect, by
// GOGC or GOMEMLIMIT. It is for main, which keeps what is returned alive as long as it runs.
//
// What it returns counts for the collector as live, but is never touched, so that it takes no memory.
func Floor(size int) (ballast []byte) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	return make([]byte, size/2)
}
