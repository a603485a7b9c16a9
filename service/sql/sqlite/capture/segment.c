#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"

/*
** A transaction is in the segment file, as a whole, before the first byte of its commit is in the WAL, and the next one is
** written only after it is known what has become of this one. So after a crash of the process only the last one is in doubt, and
** the WAL tells: see DESIGN.md of the package above.
*/
struct wippy_segment {
  int fd;
  wippy_signals *signals;
  uint8_t *page;           /* the header page, mapped: a slot is stored without a system call */
  uint64_t end;            /* the file is valid up to here */
  uint64_t sequence;       /* the newest that was used */
  uint64_t generation;     /* of the slot */
  int refuse;
  int pending;             /* the newest record is that of a transaction whose fate is not known yet */
  uint64_t pending_begin;  /* where it begins */
  wippy_wal_place before;  /* where the WAL was then */
  int aborted;             /* the newest transaction was rolled back */
  int known;               /* last is */
  wippy_wal_place last;    /* where the WAL was when we looked last */
  uint32_t foreign;        /* so many commits of others are not in the file as a gap */
  uint32_t unwritten;      /* so many of the newest sequences are not in the file */
  uint32_t unwritten_why;
  uint64_t unwritten_last; /* the newest of them */
  uint64_t handed;         /* the newest transaction that was sealed with changes */
  wippy_seg_news news;
  uint8_t *tables;         /* scratch */
  uint32_t tables_size;
};

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

static void put_slot(struct wippy_segment *s, uint32_t state, const wippy_wal_place *behind) {
  wippy_seg_slot v = {.generation = ++s->generation, .sequence = s->sequence, .behind = *behind, .state = state, .unwritten = s->unwritten,
                      .foreign = s->foreign};
  v.crc = wippy_crc32c(0, &v, offsetof(wippy_seg_slot, crc));
  volatile wippy_seg_slot *to = (volatile wippy_seg_slot*)(s->page + WIPPY_SEG_SLOT + WIPPY_SEG_SLOT_STEP * (s->generation & 1));
  to->crc = ~v.crc; /* a slot that is being written is no slot */
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  to->generation = v.generation;
  to->sequence = v.sequence;
  to->behind = v.behind;
  to->state = v.state;
  to->unwritten = v.unwritten;
  to->foreign = v.foreign;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  to->crc = v.crc;
}

static int write_all(int fd, struct iovec *v, int n, uint64_t at) {
  while (n > 0) {
    ssize_t done = pwritev(fd, v, n, (off_t)at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;
    at += (uint64_t)done;
    while (n > 0 && (size_t)done >= v->iov_len) {
      done -= (ssize_t)v->iov_len;
      v++;
      n--;
    }
    if (n > 0) {
      v->iov_base = (uint8_t*)v->iov_base + done;
      v->iov_len -= (size_t)done;
    }
  }
  return 0;
}

/* What failed in the middle must not stay: old bytes could be taken for a record. */
static int failed(struct wippy_segment *s, int why) {
  while (ftruncate(s->fd, (off_t)s->end) && errno == EINTR) {
  }
  return why;
}

enum { COPY_SIZE = 256 << 10 };

/* Copies what has spilled into the segment. */
static int copy_spilled(wippy_capture *c, uint64_t from, uint64_t n, uint64_t to, uint32_t *crc) {
  uint8_t *buffer = malloc(COPY_SIZE);
  int why = buffer ? 0 : ENOMEM;
  while (n > 0 && !why) {
    ssize_t got = pread(c->arena.fd, buffer, n < COPY_SIZE ? n : COPY_SIZE, (off_t)from);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      why = got < 0 ? errno : EIO;
      break;
    }
    *crc = wippy_crc32c(*crc, buffer, (size_t)got);
    struct iovec v = {buffer, (size_t)got};
    why = write_all(c->segment->fd, &v, 1, to);
    from += (uint64_t)got;
    to += (uint64_t)got;
    n -= (uint64_t)got;
  }
  free(buffer);
  return why;
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t crc_of(const wippy_seg_record *r) {
  enum { BEHIND_CRC = offsetof(wippy_seg_record, kind) };
  return wippy_crc32c(0, (const uint8_t*)r + BEHIND_CRC, sizeof *r - BEHIND_CRC);
}

/* Appends a record with one piece of payload. */
static int append(struct wippy_segment *s, wippy_seg_record *r, const void *payload) {
  r->magic = WIPPY_SEG_MAGIC;
  r->at = now();
  r->crc = crc_of(r);
  if (r->length) r->crc = wippy_crc32c(r->crc, payload, r->length);
  struct iovec v[2] = {{r, sizeof *r}, {(void*)payload, r->length}};
  int why = write_all(s->fd, v, r->length ? 2 : 1, s->end);
  if (why) return failed(s, why);
  s->end += sizeof *r + r->length;
  return 0;
}

/* Tells in the file of sequences that are not in it. */
static int append_unwritten(struct wippy_segment *s) {
  if (!s->unwritten) return 0;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = s->unwritten_why, .sequence = s->unwritten_last, .before = s->last};
  int why = append(s, &r, NULL);
  if (!why) s->unwritten = 0;
  return why;
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
  s->foreign += commits;
  s->news.foreign += commits;
  s->signals->segment_news = 1;
}

static void append_foreign(struct wippy_segment *s) {
  if (!s->foreign) return;
  s->news.gap = ++s->sequence;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = WIPPY_GAP_EXTERNAL, .sequence = s->sequence, .before = s->last};
  int why = append_unwritten(s);
  if (!why) why = append(s, &r, NULL);
  if (why) note_unwritten(s, WIPPY_GAP_EXTERNAL, why);
  s->foreign = 0;
}

/* The tables of the open transaction. Returns 0 if memory is short. */
static int put_tables(wippy_capture *c, wippy_seg_commit *head) {
  struct wippy_segment *s = c->segment;
  uint32_t used = 0;
  head->tables = c->ntouched - c->touched_begin;
  for (uint32_t i = c->touched_begin; i < c->ntouched; i++) {
    const wippy_touched *t = &c->touched[i];
    const char *name = c->tables[t->slot].name;
    uint32_t n = (uint32_t)strlen(name), need = 4 * (uint32_t)sizeof(uint32_t) + n;
    if (used + need > s->tables_size) {
      uint32_t size = 2 * (used + need);
      uint8_t *tables = realloc(s->tables, size);
      if (!tables) return 0;
      s->tables = tables;
      s->tables_size = size;
    }
    uint32_t fixed[4] = {t->slot, t->ops, c->tables[t->slot].shape, n};
    if (!fixed[2]) c->sealing.unnamed = 1;
    memcpy(s->tables + used, fixed, sizeof fixed);
    memcpy(s->tables + used + sizeof fixed, name, n);
    used += need;
  }
  head->length = used;
  return 1;
}

/* Writes records of the open transaction, from an offset of the arena on. */
static int append_rows(wippy_capture *c, uint32_t kind, uint64_t sequence, uint64_t from, const uint32_t *but) {
  struct wippy_segment *s = c->segment;
  int why = append_unwritten(s);
  if (why) return why;
  wippy_seg_commit head = {0};
  for (int op = 0; op < WIPPY_OPS; op++) head.counts[op] = c->counts[op] - but[op];
  if (!put_tables(c, &head)) return ENOMEM;
  uint64_t length = wippy_arena_length(&c->arena) - from;
  uint64_t spilled = from < c->arena.spilled ? c->arena.spilled - from : 0;
  const uint8_t *rows = c->arena.bytes + (from + spilled - c->arena.spilled);
  wippy_seg_record r = {.magic = WIPPY_SEG_MAGIC, .kind = kind, .detail = (uint32_t)(kind == WIPPY_SEG_COMMIT && c->sealing.more),
                        .length = sizeof head + head.length + length, .sequence = sequence, .at = now(), .before = s->before};
  uint32_t crc = wippy_crc32c(wippy_crc32c(crc_of(&r), &head, sizeof head), s->tables, head.length);
  uint64_t front = sizeof r + sizeof head + head.length;
  if (spilled) why = copy_spilled(c, from, spilled, s->end + front, &crc);
  if (why) return failed(s, why);
  r.crc = length > spilled ? wippy_crc32c(crc, rows, length - spilled) : crc;
  struct iovec v[4] = {{&r, sizeof r}, {&head, sizeof head}, {s->tables, head.length}, {(void*)rows, length - spilled}};
  if (spilled) {
    why = write_all(s->fd, v + 3, 1, s->end + front + spilled);
    if (!why) why = write_all(s->fd, v, 3, s->end); /* the header comes last: a record without one is none */
  } else {
    why = write_all(s->fd, v, 4, s->end);
  }
  if (why) return failed(s, why);
  s->end += front + length;
  c->sealing.at = r.at;
  return 0;
}

static int append_commit(wippy_capture *c) {
  static const uint32_t none[WIPPY_OPS];
  int why = append_rows(c, WIPPY_SEG_COMMIT, c->segment->sequence, c->begin, none);
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
    int why = append_rows(c, WIPPY_SEG_MORE, c->sealing.sequence, c->sealing.to, c->sealing.counts);
    if (why) {
      s->sequence++;
      note_unwritten(s, WIPPY_GAP_LOST, why);
      put_slot(s, 1, &s->last);
    }
  }
  c->sealing.more = 0;
}

/* A transaction of which changes are missing is a gap. */
static int append_lost(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  int why = append_unwritten(s);
  if (why) return why;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = c->lost == WIPPY_LOST_TOO_LARGE ? WIPPY_GAP_TOO_LARGE : WIPPY_GAP_LOST,
                        .sequence = s->sequence, .before = s->before};
  why = append(s, &r, NULL);
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
    c->sealing.at = now();
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
  put_slot(s, 1, &behind);
}

/* Called by the rollback hook. SQLite may call it where main was committed: another database of the transaction was not. Reports
** whether main was. */
int wippy_segment_rollback(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s || !s->pending) return 0;
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
    if (append(s, &r, NULL)) { /* no room to say so: the record itself is taken back, and its sequence, which nothing has told of */
      s->end = s->pending_begin;
      failed(s, 0);
      s->sequence--;
      s->aborted = 0;
    }
  } else if (s->unwritten && s->unwritten_last == s->sequence) { /* nothing is missing */
    s->unwritten--;
    s->unwritten_last--;
    s->sequence--;
    s->aborted = 0;
  }
  put_slot(s, s->aborted ? 2 : 1, &s->before);
  return 0;
}

uint64_t wippy_segment_length(const wippy_capture *c) { return c->segment ? c->segment->end : 0; }

/* Before a checkpoint moves frames into the database what tells of them has to be on the disk. */
void wippy_segment_checkpoint(wippy_capture *c) {
  if (c->segment) fdatasync(c->segment->fd);
}

int wippy_segment_begin(wippy_capture *c, int fd, uint64_t end, uint64_t sequence, int refuse) {
  struct wippy_segment *s = calloc(1, sizeof *s);
  if (!s) return ENOMEM;
  s->fd = -1;
  s->signals = &c->signals;
  s->sequence = sequence;
  s->refuse = refuse;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  c->segment = s;
  s->known = wal_place(c, &s->last);
  int why = wippy_segment_switch(c, fd, end);
  if (why) {
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
  put_slot(s, 1, &s->last);
  sqlite3_mutex_leave(mutex);
  return 0;
}

void wippy_segment_end(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  if (!s) return;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_segment_settle(c);
  fdatasync(s->fd);
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
  int why = append_unwritten(s);
  if (!why) why = append(s, &r, payload);
  if (why && kind == WIPPY_SEG_GAP) note_unwritten(s, detail, why);
  if (kind == WIPPY_SEG_GAP && !s->pending) put_slot(s, s->aborted ? 2 : 1, &s->last);
  sqlite3_mutex_leave(mutex);
  return why;
}

void wippy_segment_mark(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_segment_settle(c);
  wippy_wal_place at;
  if (wal_place(c, &at)) {
    wippy_seg_record r = {.kind = WIPPY_SEG_MARK, .sequence = s->sequence, .before = at};
    append(s, &r, NULL); /* without it a crash meanwhile leaves a gap */
  }
  sqlite3_mutex_leave(mutex);
}

void wippy_segment_refresh(wippy_capture *c, uint32_t own) {
  struct wippy_segment *s = c->segment;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  wippy_wal_place at;
  if (!s->pending && wal_place(c, &at) && memcmp(&at, &s->last, sizeof at)) {
    uint32_t commits = s->known ? at.changes - s->last.changes : 0;
    s->last = at;
    s->known = 1;
    if (commits > own) note_foreign(s, commits - own);
    put_slot(s, s->aborted ? 2 : 1, &at);
  }
  sqlite3_mutex_leave(mutex);
}

void wippy_segment_look(wippy_capture *c) {
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  if (sqlite3_mutex_try(mutex)) return;
  struct wippy_segment *s = c->segment;
  wippy_wal_place at;
  if (s && !s->pending && sqlite3_txn_state(c->db, "main") != SQLITE_TXN_WRITE && wal_place(c, &at) && s->known &&
      at.changes != s->last.changes) {
    uint32_t commits = at.changes - s->last.changes;
    s->last = at;
    note_foreign(s, commits);
    put_slot(s, s->aborted ? 2 : 1, &at);
  }
  sqlite3_mutex_leave(mutex);
}

wippy_seg_news wippy_segment_news(wippy_capture *c) {
  struct wippy_segment *s = c->segment;
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  if (s->foreign && !s->pending && !c->sealing.sequence) { /* what is still to be written of a transaction comes first */
    append_foreign(s);
    put_slot(s, s->aborted ? 2 : 1, &s->last);
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
  int why = c->segment && fdatasync(c->segment->fd) ? errno : 0;
  sqlite3_mutex_leave(mutex);
  return why;
}

void wippy_segment_expect(wippy_capture *c) { c->sealing.more = c->segment != NULL; }

void wippy_segment_shape(wippy_capture *c, uint32_t slot, uint32_t shape) { c->tables[slot].shape = shape; }
