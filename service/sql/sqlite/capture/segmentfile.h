/* A segment file that is being written, shared by segment.c and segmentfile.c. */
#ifndef WIPPY_SEGMENTFILE_H
#define WIPPY_SEGMENTFILE_H

#include "internal.h"

struct wippy_segment {
  int fd;                  /* -1 if there is none: only commits of others are counted */
  int marked;              /* a statement runs that may commit without a hook */
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

/* Stores what is settled: state is 1, or 2 if the newest transaction was rolled back. */
void wippy_seg_put_slot(struct wippy_segment*, uint32_t state, const wippy_wal_place *behind);

/* Append a record with one piece of payload; the same, or the rows of the open transaction from an offset of the arena on, behind what
** tells of sequences that are not in the file. The results are an errno. */
int wippy_seg_append(struct wippy_segment*, wippy_seg_record*, const void *payload);
int wippy_seg_append_next(struct wippy_segment*, wippy_seg_record*, const void *payload);
int wippy_seg_append_rows(wippy_capture*, uint32_t kind, uint64_t sequence, uint64_t from, const uint32_t *but);

/* Cuts off what was written in vain, and returns why. */
int wippy_seg_failed(struct wippy_segment*, int why);

/* The time, in Unix nanoseconds. */
int64_t wippy_seg_now(void);

#endif
