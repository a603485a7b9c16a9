package engine

import (
	"container/list"
	"sync"
)

// endings are the functions that a process runs when it ends, newest first.
type endings struct {
	mu    sync.Mutex
	list  list.List // of func()
	ended bool
}

// add remembers f and returns the function that forgets it. After the end f runs at once.
func (e *endings) add(f func()) (remove func()) {
	element := e.push(f)
	if element == nil {
		f()
		return func() {}
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.list.Remove(element)
	}
}

func (e *endings) push(f func()) *list.Element {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return nil
	}
	return e.list.PushBack(f)
}

// run runs and forgets all functions.
func (e *endings) run() {
	for f := e.pop(); f != nil; f = e.pop() {
		f()
	}
}

func (e *endings) pop() func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.list.Back()
	if last == nil {
		e.ended = true
		return nil
	}
	f, _ := e.list.Remove(last).(func())
	return f
}
