#include "internal.h"

/*
** SQLite tries a checkpoint at each commit that leaves more than so many frames in the write-ahead log. While a
** connection reads for long, for a snapshot for instance, the log cannot begin anew, and each commit would pay for an
** attempt that achieves nothing. So after such an attempt the next one is made when the log has grown by a part of that
** number. See https://www.sqlite.org/c3ref/wal_autocheckpoint.html and
** https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files.
*/
enum { ATTEMPTS_PER_LOG = 4 };

static int try_checkpoint(wippy_capture *c, int frames) {
  int all = -1, done = -1, before = c->checkpointed;
  wippy_segment_checkpoint(c);
  sqlite3_wal_checkpoint_v2(c->db, "main", SQLITE_CHECKPOINT_PASSIVE, &all, &done);
  c->checkpointed = done;
  if (done > before || (done >= 0 && done == all)) return c->checkpoint_every;
  return frames + 1 + c->checkpoint_every / ATTEMPTS_PER_LOG;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int frames) {
  wippy_capture *c = arg;
  if (strcmp(name, "main")) {
    if (frames >= c->checkpoint_every) sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
  }
  if (frames < c->frames) { /* it has begun anew */
    c->checkpoint_at = c->checkpoint_every;
    c->checkpointed = 0;
  }
  c->frames = frames;
  wippy_segment_settle(c);
  if (frames >= c->checkpoint_at) c->checkpoint_at = try_checkpoint(c, frames);
  return SQLITE_OK;
}

void wippy_autocheckpoint(wippy_capture *c) {
  if (!sqlite3_wal_hook || !sqlite3_wal_checkpoint_v2) return;
  /* The argument of SQLite's own hook is the number of frames, 0 if there is none. */
  c->checkpoint_every = (int)(intptr_t)sqlite3_wal_hook(c->db, on_wal, c);
  c->checkpoint_at = c->checkpoint_every;
  if (c->checkpoint_every <= 0) sqlite3_wal_hook(c->db, NULL, NULL);
}
