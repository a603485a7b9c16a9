package io

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// chunk is how much is asked of a stream at a time.
const chunk = 4096

// input reads a stream for scripts that may give up waiting. A read of a terminal or a pipe cannot be interrupted, so
// it is made by a goroutine that outlives the coroutine that waits for it and ends with its read; what it brings is
// kept for the next one who asks.
type input struct {
	from io.Reader

	mu     sync.Mutex
	buffer []byte
	err    error         // why nothing more can be read, io.EOF at the end
	filled chan struct{} // closed when the read under way has ended; nil if there is none
}

// cut says how many bytes at the beginning of what was read are wanted, -1 if more must be read to tell.
type cut func(buffer []byte) int

func bytesOf(n int) cut {
	return func(buffer []byte) int {
		if len(buffer) < n {
			return -1
		}
		return n
	}
}

func toTheEnd([]byte) int { return -1 }

// line wants everything up to a newline, and the newline.
func line(buffer []byte) int {
	if i := bytes.IndexByte(buffer, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

// take waits for what is wanted. At the end of the stream it returns the rest, and io.EOF if there is none.
func (in *input) take(ctx context.Context, wanted cut) ([]byte, error) {
	for {
		taken, filled, err := in.try(wanted)
		if filled == nil {
			return taken, err
		}
		select {
		case <-filled:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try returns what is wanted if it is there, or else a channel that is closed when more was read.
func (in *input) try(wanted cut) ([]byte, <-chan struct{}, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := wanted(in.buffer)
	if n < 0 && in.err != nil {
		if n = len(in.buffer); n == 0 {
			return nil, nil, in.err
		}
	}
	if n >= 0 {
		taken := in.buffer[:n:n]
		in.buffer = in.buffer[n:]
		return taken, nil, nil
	}
	if in.filled == nil {
		in.filled = make(chan struct{})
		go in.fill(in.filled)
	}
	return nil, in.filled, nil
}

func (in *input) fill(filled chan struct{}) {
	defer close(filled)
	b := make([]byte, chunk)
	n, err := in.from.Read(b)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.buffer = append(in.buffer, b[:n]...)
	in.err, in.filled = err, nil
}
