#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"
#include "segmentfile.h"

/*
** A transaction is in the segment file, as a whole, before the first byte of its commit is in the WAL, and the next one is
** written only after it is known what has become of this one. So after a crash of the process only the last one is in doubt, and
** the WAL tells: see DESIGN.md of the package above.
*/

/* Reads the header of the wal-index, which stands still while this connection has the write lock. */
static int wal_place(wippy_capture *c, wippy_wal_place *p) {
  enum { HEADER_WORDS = 12, ATTEMPTS = 100 };
  const volatile uint32_t *index = wippy_wal_index(c);
  if (!index) return 0;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    uint32_t w[2 * HEADER_WORDS];
    for (int i = 0; i < 2 * HEADER_WORDS; i++) w[i] = index[i];
    if (memcmp(w, w + HEADER_WORDS, HEADER_WORDS * sizeof *w)) continue;
    *p = (wippy_wal_place){.salt1 = __builtin_bswap32(w[8]), .salt2 = __builtin_bswap32(w[9]), .frames = w[4], .changes = w[2],
                           .check1 = w[6], .check2 = w[7]};
    return 1;
  }
  return 0;
}

static void note_unwritten(struct wippy_segment *s, uint32_t gap, int why) {
  s->unwritten++;
  s->unwritten_why = gap;
  s->unwritten_last = s->sequence;
  s->news.failed++;
  s->news.error = why;
  s->signals->segment_news = 1;
}

/* Notes that others have committed. It is written where it belongs: behind all that concerns the transaction before. */
static void note_foreign(struct wippy_segment *s, uint32_t commits) {
  if (commits > INT32_MAX) commits = 1; /* the counter begins at 0 again when the wal-index is made anew */
  s->foreign += commits;
  s->news.foreign += commits;
  s->signals->segment_news = 1;
}

static void append_foreign(struct wippy_segment *s) {
  if (s->fd < 0) s->foreign = 0;
  if (!s->foreign) return;
  s->news.gap = ++s->sequence;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = WIPPY_GAP_EXTERNAL, .sequence = s->sequence, .before = s->last};
  int why = wippy_seg_append_next(s, &r, NULL);
  if (why) note_unwritten(s, WIPPY_GAP_EXTERNAL, why);
  s->foreign = 0;
}

static int append_commit(wippy_capture *c) {
  static const uint32_t none[WIPPY_OPS];
  int why = wippy_seg_append_rows(c, WIPPY_SEG_COMMIT, c->segment->sequence, c->begin, none);
  c->sealing.to = wippy_arena_length(&c->arena);
  memcpy(c->sealing.counts, c->counts, sizeof c->counts);
  return why;
}

/* Writes what was recorded of the transaction that is being sealed since its commit. */
void wippy_segment_more(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (c->sealing.sequence && (c->lost || wippy_arena_length(&c->arena) > c->begin)) s->handed = c->sealing.sequence;
  int more = c->sealing.more || wippy_arena_length(&c->arena) > c->sealing.to;
  if (c->sealing.sequence && c->sealing.written && more && !c->lost) {
    int why = wippy_seg_append_rows(c, WIPPY_SEG_MORE, c->sealing.sequence, c->sealing.to, c->sealing.counts);
    if (why) {
      s->sequence++;
      note_unwritten(s, WIPPY_GAP_LOST, why);
      wippy_seg_put_slot(s, 1, &s->last);
    }
  }
  c->sealing.more = 0;
}

/* A transaction of which changes are missing is a gap. */
static int append_lost(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = c->lost == WIPPY_LOST_TOO_LARGE ? WIPPY_GAP_TOO_LARGE : WIPPY_GAP_LOST,
                        .sequence = s->sequence, .before = s->before};
  int why = wippy_seg_append_next(s, &r, NULL);
  c->sealing.at = r.at;
  return why;
}

/* Called by the commit hook when main is being written. A result other than 0 refuses the commit. */
int wippy_segment_commit(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  wippy_segment_settle(c); /* a commit that was not looked at since */
  memset(&s->before, 0, sizeof s->before);
  if (wal_place(c, &s->before)) {
    if (s->known && s->before.changes != s->last.changes) {
      note_foreign(s, s->before.changes - s->last.changes);
    }
    s->last = s->before;
    s->known = 1;
  }
  append_foreign(s);
  s->pending = s->fd < 0;
  if (s->pending) return 0;
  s->pending_begin = s->end;
  s->sequence++;
  c->sealing.unnamed = 0;
  int why = c->lost ? append_lost(c) : append_commit(c);
  if (why && s->refuse) {
    s->sequence--;
    s->news.error = why;
    s->signals->segment_news = 1;
    return 1;
  }
  c->sealing.sequence = s->sequence;
  c->sealing.written = !why;
  c->sealing.gap = c->lost != 0;
  if (why) {
    c->sealing.at = wippy_seg_now();
    note_unwritten(s, WIPPY_GAP_LOST, why);
  }
  s->pending = 1;
  return 0;
}

/* Notes that the newest transaction has committed, if it has. Called after a commit for certain. */
void wippy_segment_settle(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s || !s->pending) return;
  wippy_wal_place behind = s->before;
  wal_place(c, &behind);
  uint32_t commits = behind.changes - s->before.changes;
  s->pending = s->aborted = 0;
  s->last = behind;
  if (commits > 1) note_foreign(s, commits - 1);
  wippy_seg_put_slot(s, 1, &behind);
}

/* A rollback where there is no file. */
static int rollback_unwritten(wippy_capture *c) {
  int committed = c->committing && wippy_wal_has_committed(c);
  if (committed) wippy_segment_settle(c);
  if (c->segment) c->segment->pending = 0;
  return committed;
}

/* Called by the rollback hook. SQLite may call it where main was committed: another database of the transaction was not. Reports
** whether main was. */
int wippy_segment_rollback(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s || s->fd < 0) return rollback_unwritten(c);
  if (!s->pending) return 0;
  wippy_wal_place behind = s->before;
  if (wal_place(c, &behind) && behind.changes != s->before.changes) {
    wippy_segment_settle(c);
    return 1;
  }
  s->pending = 0;
  s->aborted = 1;
  c->sealing.sequence = 0;
  if (s->end > s->pending_begin) {
    wippy_seg_record r = {.kind = WIPPY_SEG_ABORT, .sequence = s->sequence, .before = s->before};
    if (wippy_seg_append(s, &r, NULL)) { /* no room to say so: the record itself is taken back, and its sequence, which nothing has told of */
      s->end = s->pending_begin;
      wippy_seg_failed(s, 0);
      s->sequence--;
      s->aborted = 0;
    }
  } else if (s->unwritten && s->unwritten_last == s->sequence) { /* nothing is missing */
    s->unwritten--;
    s->unwritten_last--;
    s->sequence--;
    s->aborted = 0;
  }
  wippy_seg_put_slot(s, s->aborted ? 2 : 1, &s->before);
  return 0;
}

uint64_t wippy_segment_length(const wippy_capture *c) { return c->segment ? c->segment->end : 0; }

/* Before a checkpoint moves frames into the database what tells of them has to be on the disk. */
void wippy_segment_checkpoint(wippy_capture *c) {
  if (c->segment && c->segment->fd >= 0) fdatasync(c->segment->fd);
}

int wippy_segment_watch(wippy_capture *c) {
  if (c->segment) return 0;
  struct wippy_segment *s = calloc(1, sizeof *s);
  if (!s) return ENOMEM;
  s->fd = -1;
  s->signals = &c->signals;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  c->segment = s;
  s->known = wal_place(c, &s->last);
  sqlite3_mutex_leave(mutex);
  return 0;
}

int wippy_segment_begin(wippy_capture *c, int fd, uint64_t end, uint64_t sequence, int refuse) {
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_segment_end(c);
  int why = wippy_segment_watch(c);
  struct wippy_segment *s = c->segment;
  if (!why) {
    s->sequence = sequence;
    s->refuse = refuse;
    why = wippy_segment_switch(c, fd, end);
  }
  if (why && s) {
    c->segment = NULL;
    free(s);
  }
  sqlite3_mutex_leave(mutex);
  return why;
}

/* Lets go of the file. */
static void leave(struct wippy_segment *s) {
  if (s->page) munmap(s->page, WIPPY_SEG_PAGE);
  if (s->fd >= 0) close(s->fd);
  s->page = NULL;
  s->fd = -1;
}

int wippy_segment_switch(wippy_capture *c, int fd, uint64_t end) {
  struct wippy_segment *s = c->segment;
  uint8_t *page = mmap(NULL, WIPPY_SEG_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return errno;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  if (s->fd >= 0) fdatasync(s->fd);
  leave(s);
  s->fd = fd;
  s->page = page;
  s->end = end;
  wippy_seg_put_slot(s, 1, &s->last);
  sqlite3_mutex_leave(mutex);
  return 0;
}

void wippy_segment_end(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s) return;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_segment_settle(c);
  if (s->fd >= 0) fdatasync(s->fd);
  leave(s);
  c->segment = NULL;
  free(s->tables);
  free(s);
  sqlite3_mutex_leave(mutex);
}

int wippy_segment_append(wippy_capture *c, int kind, uint32_t detail, uint64_t *sequence, const void *payload, uint64_t length) {
  struct wippy_segment *s = c->segment;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  if (kind == WIPPY_SEG_GAP) *sequence = ++s->sequence;
  if (kind == WIPPY_SEG_SHAPE) *sequence = s->sequence; /* so that it is known to follow what is in front of it */
  wippy_seg_record r = {.kind = (uint32_t)kind, .detail = detail, .length = length, .sequence = *sequence, .before = s->last};
  int why = wippy_seg_append_next(s, &r, payload);
  if (why && kind == WIPPY_SEG_GAP) note_unwritten(s, detail, why);
  if (kind == WIPPY_SEG_GAP && !s->pending) wippy_seg_put_slot(s, s->aborted ? 2 : 1, &s->last);
  sqlite3_mutex_leave(mutex);
  return why;
}

void wippy_segment_mark(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s) return;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_segment_settle(c);
  s->marked = 1;
  wippy_wal_place at;
  if (s->fd >= 0 && wal_place(c, &at)) {
    wippy_seg_record r = {.kind = WIPPY_SEG_MARK, .sequence = s->sequence, .before = at};
    wippy_seg_append(s, &r, NULL); /* without it a crash meanwhile leaves a gap */
  }
  sqlite3_mutex_leave(mutex);
}

void wippy_segment_refresh(wippy_capture *c, uint32_t own) {
  struct wippy_segment *s = c->segment;
  if (!s) return;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  s->marked = 0;
  wippy_wal_place at;
  int found = !s->pending && wal_place(c, &at);
  if (s->fd < 0 && !s->pending && !found) s->known = 0; /* in another journal mode nothing is counted */
  if (found && memcmp(&at, &s->last, sizeof at)) {
    uint32_t commits = s->known ? at.changes - s->last.changes : 0;
    s->last = at;
    s->known = 1;
    if (commits > own) note_foreign(s, commits - own);
    wippy_seg_put_slot(s, s->aborted ? 2 : 1, &at);
  }
  sqlite3_mutex_leave(mutex);
}

void wippy_segment_look(wippy_capture *c) {
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  if (sqlite3_mutex_try(mutex)) return;
  struct wippy_segment *s = c->segment;
  wippy_wal_place at;
  if (s && !s->pending && !s->marked && sqlite3_txn_state(c->db, "main") != SQLITE_TXN_WRITE && wal_place(c, &at) && s->known &&
      at.changes != s->last.changes) {
    uint32_t commits = at.changes - s->last.changes;
    s->last = at;
    note_foreign(s, commits);
    wippy_seg_put_slot(s, s->aborted ? 2 : 1, &at);
  }
  sqlite3_mutex_leave(mutex);
}

wippy_seg_news wippy_segment_news(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  if (s->foreign && !s->pending && !c->sealing.sequence) { /* what is still to be written of a transaction comes first */
    append_foreign(s);
    wippy_seg_put_slot(s, s->aborted ? 2 : 1, &s->last);
  }
  wippy_seg_news news = s->news;
  news.sequence = s->sequence;
  news.end = s->end;
  news.commit = s->handed;
  s->news = (wippy_seg_news){0};
  c->signals.segment_news = s->foreign > 0;
  sqlite3_mutex_leave(mutex);
  return news;
}

int wippy_segment_sync(wippy_capture *c) {
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  int why = c->segment && c->segment->fd >= 0 && fdatasync(c->segment->fd) ? errno : 0;
  sqlite3_mutex_leave(mutex);
  return why;
}

void wippy_segment_expect(wippy_capture *c) { c->sealing.more = c->segment != NULL; }

void wippy_segment_shape(wippy_capture *c, uint32_t slot, uint32_t shape) { c->tables[slot].shape = shape; }
