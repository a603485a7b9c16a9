package engine

import (
	"container/list"
	"sync"
)

// exitHooks are the functions that a process runs when it ends, newest first.
type exitHooks struct {
	mu    sync.Mutex
	list  list.List // of func()
	ended bool
}

// add remembers f and returns the function that forgets it. After the end f runs at once.
func (h *exitHooks) add(f func()) (remove func()) {
	element := h.push(f)
	if element == nil {
		f()
		return func() {}
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.list.Remove(element)
	}
}

func (h *exitHooks) push(f func()) *list.Element {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil
	}
	return h.list.PushBack(f)
}

// run runs and forgets all functions.
func (h *exitHooks) run() {
	for f := h.pop(); f != nil; f = h.pop() {
		f()
	}
}

func (h *exitHooks) pop() func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.list.Back()
	if last == nil {
		h.ended = true
		return nil
	}
	f, _ := h.list.Remove(last).(func())
	return f
}
