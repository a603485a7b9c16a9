#include <stdlib.h>
#include "internal.h"
#include "scan.h"

WEAK const char *sqlite3_errmsg(sqlite3*);

/* Records are written by what writes those of captured rows, which wants a capture: only its arena is used. */
struct wippy_scan {
  wippy_capture records;
  wippy_rows rows;
  int ended;
  const char *error;
};

wippy_scan *wippy_scan_open(sqlite3 *db, const char *query, const char *rowids) {
  wippy_scan *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->records.db = db;
  s->records.arena.fd = -1;
  if (wippy_rows_open(&s->rows, db, query, rowids) != SQLITE_OK) s->error = sqlite3_errmsg(db);
  return s;
}

const void *wippy_scan_next(wippy_scan *s, uint64_t enough, uint64_t *n) {
  arena *a = &s->records.arena;
  wippy_arena_reset(a);
  while (!s->ended && !s->error && a->used < enough) {
    int rc = wippy_rows_step(&s->rows);
    if (rc == SQLITE_ROW) {
      if (wippy_record_insert(&s->records, 0, &s->rows)) s->error = "out of memory";
    } else if (rc == SQLITE_DONE) {
      s->ended = 1;
    } else {
      s->error = sqlite3_errmsg(s->records.db);
    }
  }
  *n = a->used;
  return a->bytes;
}

const char *wippy_scan_error(const wippy_scan *s) { return s->error; }

void wippy_scan_close(wippy_scan *s) {
  wippy_rows_close(&s->rows);
  wippy_arena_free(&s->records.arena);
  free(s);
}
