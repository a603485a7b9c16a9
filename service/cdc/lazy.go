package cdc

import "github.com/wippy-cdc/runtime/api/unit"

// A cursor that is in no hurry dozes when it has read the whole log, and is roused when this much has come together, or a
// part of its limit: nobody waits for what it reads, and waking its goroutine for each transaction would cost the writer
// time.
const lazyBytes = int64(unit.MiB)

// setLazy says whether c is in a hurry.
func (l *Log) setLazy(c *cursor, lazy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.lazy = lazy
	l.wake(c)
}

// doze notes that c has read the whole log. l.mu must be held.
func (l *Log) doze(c *cursor) {
	c.dozes = true
	l.dozing++
	l.busy--
	l.rouse(c)
	l.sweep()
}

// wake notes that c goes on, if it was dozing. l.mu must be held.
func (l *Log) wake(c *cursor) {
	if c.dozes {
		c.dozes = false
		l.dozing--
		l.busy++
	}
}

// rouse makes the goroutine of c go on if there is something for it, and has the keeper look again when there is more.
// l.mu must be held.
func (l *Log) rouse(c *cursor) {
	l.patrolAt = min(l.patrolAt, l.total+max(1, min(c.limit/patrolsPerLog, lazyBytes)))
	if c.at.Load() < l.ring.next {
		notify(c.wake)
	}
}
