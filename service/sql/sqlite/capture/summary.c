#include <stdlib.h>
#include "internal.h"

/*
** The summary of a transaction: which tables it may have changed. A table is noted once for each transaction, so that a row costs a
** comparison and an addition. Counts go back with a savepoint, tables do not.
*/

/* Notes that a record of the open transaction was written. Returns why that cannot be kept, or 0. */
int wippy_note(wippy_capture *c, uint32_t slot, int op) {
  wippy_table *t = &c->tables[slot];
  if (t->epoch != c->epoch) {
    if (c->ntouched == c->touched_size) {
      uint32_t size = c->touched_size ? 2 * c->touched_size : 16;
      wippy_touched *touched = realloc(c->touched, size * sizeof *touched);
      if (!touched) return WIPPY_LOST_NO_MEMORY;
      c->touched = touched;
      c->touched_size = size;
    }
    t->epoch = c->epoch;
    t->noted = c->ntouched++;
    c->touched[t->noted] = (wippy_touched){.slot = slot};
  }
  c->touched[t->noted].ops |= 1u << op;
  c->counts[op]++;
  return 0;
}

/* Forgets what the open transaction has done. */
void wippy_summary_undo(wippy_capture *c) {
  memset(c->counts, 0, sizeof c->counts);
  c->ntouched = c->touched_begin;
  c->epoch++;
}

/* Moves the summary of the open transaction, which has committed, to s. Its tables are named by their number: the array
** may still move. */
void wippy_summary_seal(wippy_capture *c, wippy_summary *s) {
  memcpy(s->counts, c->counts, sizeof c->counts);
  s->sequence = c->sealing.sequence;
  s->at = c->sealing.at;
  s->gap = c->sealing.gap;
  s->unnamed = c->sealing.unnamed;
  s->end = wippy_segment_length(c);
  c->sealing.sequence = 0;
  s->touched = c->ntouched - c->touched_begin;
  c->touched_begin = c->ntouched;
  wippy_summary_undo(c);
}

/* Forgets everything: nothing waits and nothing is open. */
void wippy_summary_reset(wippy_capture *c) {
  c->touched_begin = 0;
  wippy_summary_undo(c);
}
