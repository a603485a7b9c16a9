#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"
#include "segmentfile.h"

/* Writes slots and records to a segment file. What they say is decided in segment.c. */

void wippy_seg_put_slot(struct wippy_segment *s, uint32_t state, const wippy_wal_place *behind) {
  if (!s->page) return;
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
int wippy_seg_failed(struct wippy_segment *s, int why) {
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

int64_t wippy_seg_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t crc_of(const wippy_seg_record *r) {
  enum { BEHIND_CRC = offsetof(wippy_seg_record, kind) };
  return wippy_crc32c(0, (const uint8_t*)r + BEHIND_CRC, sizeof *r - BEHIND_CRC);
}

/* Appends a record with one piece of payload. */
int wippy_seg_append(struct wippy_segment *s, wippy_seg_record *r, const void *payload) {
  r->magic = WIPPY_SEG_MAGIC;
  r->at = wippy_seg_now();
  r->crc = crc_of(r);
  if (r->length) r->crc = wippy_crc32c(r->crc, payload, r->length);
  struct iovec v[2] = {{r, sizeof *r}, {(void*)payload, r->length}};
  int why = write_all(s->fd, v, r->length ? 2 : 1, s->end);
  if (why) return wippy_seg_failed(s, why);
  s->end += sizeof *r + r->length;
  return 0;
}

/*
** Tells in the file of sequences that are not in it. That is written with what comes next, or not at all: of a file that is full for a
** while there is one gap, also if it has room for a gap and for nothing else.
*/
static int append_unwritten(struct wippy_segment *s) {
  if (!s->unwritten) return 0;
  wippy_seg_record r = {.kind = WIPPY_SEG_GAP, .detail = s->unwritten_why, .sequence = s->unwritten_last, .before = s->last};
  return wippy_seg_append(s, &r, NULL);
}

static int written_behind(struct wippy_segment *s, uint64_t begin, int why) {
  if (!why) {
    s->unwritten = 0;
    return 0;
  }
  s->end = begin;
  return wippy_seg_failed(s, why);
}

int wippy_seg_append_next(struct wippy_segment *s, wippy_seg_record *r, const void *payload) {
  uint64_t begin = s->end;
  int why = append_unwritten(s);
  if (!why) why = wippy_seg_append(s, r, payload);
  return written_behind(s, begin, why);
}

/* The tables of the open transaction. Returns 0 if memory is short. */
static int put_tables(wippy_capture *c, wippy_seg_commit *head) {
  struct wippy_segment *s = c->segment;
  uint32_t used = 0;
  head->tables = c->ntouched - c->touched_begin;
  int foreign = wippy_capture_foreign(c);
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
    uint32_t fixed[4] = {t->slot, t->ops, foreign ? 0 : c->tables[t->slot].shape, n};
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
  int why = 0;
  wippy_seg_commit head = {0};
  for (int op = 0; op < WIPPY_OPS; op++) head.counts[op] = c->counts[op] - but[op];
  uint64_t length = wippy_arena_length(&c->arena) - from;
  if (length && !put_tables(c, &head)) return ENOMEM; /* tables of which all was undone have no shape, maybe for ever */
  uint64_t spilled = from < c->arena.spilled ? c->arena.spilled - from : 0;
  const uint8_t *rows = c->arena.bytes + (from + spilled - c->arena.spilled);
  wippy_seg_record r = {.magic = WIPPY_SEG_MAGIC, .kind = kind, .detail = (uint32_t)(kind == WIPPY_SEG_COMMIT && c->sealing.more),
                        .length = sizeof head + head.length + length, .sequence = sequence, .at = wippy_seg_now(), .before = s->before};
  uint32_t crc = wippy_crc32c(wippy_crc32c(crc_of(&r), &head, sizeof head), s->tables, head.length);
  uint64_t front = sizeof r + sizeof head + head.length;
  if (spilled) why = copy_spilled(c, from, spilled, s->end + front, &crc);
  if (why) return wippy_seg_failed(s, why);
  r.crc = length > spilled ? wippy_crc32c(crc, rows, length - spilled) : crc;
  struct iovec v[4] = {{&r, sizeof r}, {&head, sizeof head}, {s->tables, head.length}, {(void*)rows, length - spilled}};
  if (spilled) {
    why = write_all(s->fd, v + 3, 1, s->end + front + spilled);
    if (!why) why = write_all(s->fd, v, 3, s->end); /* the header comes last: a record without one is none */
  } else {
    why = write_all(s->fd, v, 4, s->end);
  }
  if (why) return wippy_seg_failed(s, why);
  s->end += front + length;
  c->sealing.at = r.at;
  return 0;
}

int wippy_seg_append_rows(wippy_capture *c, uint32_t kind, uint64_t sequence, uint64_t from, const uint32_t *but) {
  struct wippy_segment *s = c->segment;
  uint64_t begin = s->end;
  int why = append_unwritten(s);
  if (!why) why = append_rows(c, kind, sequence, from, but);
  return written_behind(s, begin, why);
}
