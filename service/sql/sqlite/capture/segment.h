/* The log of a durable source: each transaction is written to a segment file before it commits, see segment.c. */
#ifndef WIPPY_SEGMENT_H
#define WIPPY_SEGMENT_H

#include <stdint.h>

typedef struct wippy_capture wippy_capture;

/* The kinds of records. */
enum {
  WIPPY_SEG_COMMIT = 1, /* a transaction that is about to commit */
  WIPPY_SEG_MORE,       /* further changes of a committed transaction, that no hook tells about; a payload like its own */
  WIPPY_SEG_ABORT,      /* the transaction of that sequence was rolled back: a hint only, recovery may bring it back */
  WIPPY_SEG_MARK,       /* what follows in the WAL may be one commit of this connection that no hook tells about */
  WIPPY_SEG_GAP,        /* something could not be captured at this place */
  WIPPY_SEG_SHAPE,      /* what the ID of a shape stands for */
  WIPPY_SEG_BIND        /* which shapes the slots of a transaction stand for that was written before they were known */
};

/* Why there is a gap. */
enum {
  WIPPY_GAP_EXTERNAL = 1, /* another connection has committed */
  WIPPY_GAP_LOST,         /* capture or the segment file has failed */
  WIPPY_GAP_TOO_LARGE,
  WIPPY_GAP_UNVERIFIED,   /* it is not known whether a transaction has committed */
  WIPPY_GAP_RESTORED      /* the database is another one than before */
};

/* A place in the WAL, from the header of the wal-index: https://www.sqlite.org/walformat.html#the_wal_index_file_format. */
typedef struct wippy_wal_place {
  uint32_t salt1, salt2, frames, changes, check1, check2; /* salts as in the WAL; mxFrame, iChange, aFrameCksum */
} wippy_wal_place;

enum { WIPPY_SEG_MAGIC = 0x47455357, WIPPY_SEG_PAGE = 4096, WIPPY_SEG_SLOT = 64, WIPPY_SEG_SLOT_STEP = 128 };

/* What a record begins with. crc is that of all behind it, the payload included (CRC-32C). */
typedef struct wippy_seg_record {
  uint32_t magic, crc;
  uint32_t kind;
  uint32_t detail;       /* a commit: whether more will follow; a gap: why; a shape: its ID */
  uint64_t length;       /* of the payload */
  uint64_t sequence;
  int64_t at;            /* Unix nanoseconds */
  wippy_wal_place before; /* where the WAL was */
} wippy_seg_record;

/* Of the payload of a commit: tables follow, each a slot, its operations, the ID of its shape (0 if not known yet), the length of
** its name, and the name; then the records of rows. */
typedef struct wippy_seg_commit {
  uint32_t counts[6];
  uint32_t tables, length; /* how many, and their length in bytes */
} wippy_seg_commit;

/* What is known for certain, twice in the header page, written in turn. */
typedef struct wippy_seg_slot {
  uint64_t generation;   /* of the slot: the greater one holds */
  uint64_t sequence;     /* everything up to it is settled */
  wippy_wal_place behind; /* where the WAL was then */
  uint32_t state;        /* 1 settled, 2 the last record was aborted */
  uint32_t unwritten;    /* so many of the newest sequences are missing in the file, because it could not be written */
  uint32_t foreign;      /* so many commits of others behind it are not in the file yet */
  uint32_t crc;
} wippy_seg_slot;

/* What the hooks have seen since the last call of wippy_segment_news. */
typedef struct wippy_seg_news {
  uint32_t foreign;      /* commits of others */
  uint32_t failed;       /* transactions that could not be written */
  int error;             /* why, an errno */
  uint64_t sequence;     /* that of the newest record */
  uint64_t end;          /* length of the file */
  uint64_t commit;       /* that of the newest transaction that is handed over, now or later */
  uint64_t gap;          /* the sequence of the newest gap that was written for foreign commits, 0 if none was */
} wippy_seg_news;

/*
** Begins to write to a segment: fd is a file with a header page, of which end bytes are used; the next sequence follows sequence.
** refuse is whether commits are refused that cannot be written. Called while no transaction is open. Returns an errno.
** The file is closed when another one takes its place, or with wippy_segment_end.
*/
int wippy_segment_begin(wippy_capture*, int fd, uint64_t end, uint64_t sequence, int refuse);
void wippy_segment_end(wippy_capture*);

/* Looks for commits of others without a file, from now on: nothing is written, and no transaction has a sequence. */
int wippy_segment_watch(wippy_capture*);

/* Goes on in another file, behind a settled transaction. */
int wippy_segment_switch(wippy_capture*, int fd, uint64_t end);

/* Writes a record of another kind than a commit. Returns an errno. A gap takes the next sequence, which is set. */
int wippy_segment_append(wippy_capture*, int kind, uint32_t detail, uint64_t *sequence, const void *payload, uint64_t length);

/* Before and after a statement of this connection, or of one beside it, that may commit without a hook; own is how many commits
** are not those of others. In between wippy_segment_look does not look. */
void wippy_segment_mark(wippy_capture*);
void wippy_segment_refresh(wippy_capture*, uint32_t own);

/* Looks for commits of others, unless the connection is at work. It may be called from any thread. */
void wippy_segment_look(wippy_capture*);

wippy_seg_news wippy_segment_news(wippy_capture*);

/* Writes what was written to the disk. */
int wippy_segment_sync(wippy_capture*);

/* The length of the file. */
uint64_t wippy_segment_length(const wippy_capture*);

/* Says before a statement that changes of it will be recorded when it has ended, and maybe committed. */
void wippy_segment_expect(wippy_capture*);

/* Says which shape a slot stands for. */
void wippy_segment_shape(wippy_capture*, uint32_t slot, uint32_t shape);

#endif
