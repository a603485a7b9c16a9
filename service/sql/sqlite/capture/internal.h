/* The state of one captured connection, shared by the C files of this package. */
#ifndef WIPPY_INTERNAL_H
#define WIPPY_INTERNAL_H

#include <string.h>
#include "sqlite_abi.h"
#include "capture.h"
#include "segment.h"

/*
** The arena holds the records of the transaction that is open now, behind those of transactions that are committed
** but not taken yet. Offsets count from its beginning, across the file that its older part has spilled to and the
** memory behind it. Records never straddle the two.
*/
typedef struct arena {
  uint8_t *bytes;
  uint64_t used, size;       /* of the memory part */
  uint64_t spilled;          /* length of the file part */
  uint64_t memory, limit;    /* bounds of the memory part and of one transaction */
  int fd;                    /* -1 without a file part */
  char *spill_dir;
} arena;

/* Where a savepoint began. */
typedef struct mark {
  uint64_t offset;
  int lost;
  uint32_t counts[WIPPY_OPS];
} mark;

struct wippy_capture {
  wippy_signals signals;
  sqlite3 *db;
  arena arena;
  int lost;                  /* why the open transaction is incomplete */
  uint64_t begin;            /* offset at which the open transaction begins */

  uint32_t counts[WIPPY_OPS]; /* records of the open transaction by operation */
  wippy_touched *touched;    /* of transactions that wait, and from touched_begin on of the open one */
  uint32_t ntouched, touched_size, touched_begin;
  uint32_t epoch;            /* names the open transaction */

  mark *marks;
  int nmarks, marks_size;
  int enlisted;              /* the sentinel takes part in the open transaction */
  int enlisting;

  wippy_commit *commits;
  int ncommits, commits_size;
  int unreset;               /* a rollback may have aborted statements that wrote and are not reset yet */
  int committing;            /* the commit hook was called for the open transaction */
  int elsewhere;             /* the transaction of the last commit hook also writes to another database */
  const volatile uint32_t *wal_index; /* ... and this counts the commits of main, if it is not NULL */
  uint32_t counter;          /* what it was then */
  int in_doubt;              /* whether main was committed is not known */
  unsigned int data_version;
  unsigned int own_commits;

  struct wippy_segment *segment; /* NULL unless the log is durable */
  struct {
    uint64_t sequence;       /* what the segment file calls the transaction that is committing; 0 if it is not there */
    int64_t at;
    uint64_t to;             /* its records up to here are in the file, so many of each operation */
    uint32_t counts[WIPPY_OPS];
    int more;                /* further ones will follow, which no hook tells about */
    int written;             /* it is in the file */
    uint32_t gap;            /* ... as a gap */
    uint32_t unnamed;        /* shapes of its tables have no name there */
  } sealing;

  int active, all;
  char **names;              /* what is captured unless all */
  int nnames;
  wippy_table *tables;
  uint32_t tables_size;
  uint32_t *index;           /* hash index over the tables from first_live on */
  uint32_t index_size, first_live, last;

  char sentinel[48];         /* the name of the sentinel */
  int sentinel_names;        /* how many names were tried */
  int sentinels;             /* connected sentinels of that name */
  sqlite3_stmt *enlist;
  sqlite3_int64 enlist_rows; /* rows that the sentinel pretends to have */
  sqlite3_int64 pretended;   /* ... and has had deleted, which total_changes() must not count */
  int checkpoint_every;      /* frames after which SQLite would try a checkpoint */
  int checkpoint_at, frames; /* frames at which the next is tried, and how many there were last */
  int checkpointed;          /* how many of them the last attempt left in the database */

  uint64_t *columns;         /* scratch: where each old value of a row begins */
  int columns_size;
};

/* arena.c */
int wippy_arena_grow(arena*, uint64_t n);

/* Makes room for n bytes behind the used part; false if there is none. The caller advances used. */
static inline int wippy_arena_reserve(arena *a, uint64_t n) { return a->size - a->used >= n || wippy_arena_grow(a, n); }

uint64_t wippy_arena_length(const arena*);
void wippy_arena_cut(arena*, uint64_t offset);
int wippy_arena_spill(arena*);
void wippy_arena_reset(arena*);
void wippy_arena_free(arena*);

/* savepoint.c */
void wippy_mark(wippy_capture*, int n);
void wippy_cut_to_mark(wippy_capture*, int n);
void wippy_forget_marks(wippy_capture*, int n);
int wippy_sentinel_open(wippy_capture*, void (*destroy)(void*));

/* autocheckpoint.c */
void wippy_autocheckpoint(wippy_capture*);

/* walindex.c */
void wippy_wal_note(wippy_capture*);
int wippy_wal_has_committed(wippy_capture*);
void wippy_wal_settle(wippy_capture*);

const volatile uint32_t *wippy_wal_index(wippy_capture*);

/* segment.c */
int wippy_segment_commit(wippy_capture*);
int wippy_segment_rollback(wippy_capture*);
void wippy_segment_settle(wippy_capture*);
void wippy_segment_more(wippy_capture*);
void wippy_segment_checkpoint(wippy_capture*);

/* crc32c.c */
uint32_t wippy_crc32c(uint32_t crc, const void *bytes, size_t n);

/* summary.c */
int wippy_note(wippy_capture*, uint32_t slot, int op);
void wippy_summary_seal(wippy_capture*, wippy_summary*);
void wippy_summary_undo(wippy_capture*);
void wippy_summary_reset(wippy_capture*);

/* tables.c */
wippy_table *wippy_table_of(wippy_capture*, const char *name, uint32_t *slot);

/* capture.c */
void wippy_seal(wippy_capture*);

/* rows.c */

/* All rows of a table: statements that read it in the same order, stepped together. */
typedef struct wippy_rows {
  sqlite3_stmt *rows;        /* the rowid and the stored columns; without the rowid if there is the other */
  sqlite3_stmt *rowids;
} wippy_rows;

int wippy_rows_open(wippy_rows*, sqlite3 *db, const char *rows, const char *rowids);
int wippy_rows_step(wippy_rows*);
void wippy_rows_close(wippy_rows*);

/* row.c */
enum { RECORD_INSERT = 1, RECORD_UPDATE, RECORD_DELETE, RECORD_TRUNCATE, RECORD_SCHEMA };
int wippy_may_record(wippy_capture*);
int wippy_record_row(wippy_capture*, sqlite3_stmt *row);
int wippy_record_insert(wippy_capture*, uint32_t slot, const wippy_rows *rows);
int wippy_record_truncate(wippy_capture*, uint32_t slot);
int wippy_record_schema(wippy_capture*, uint32_t slot, int action, const char *text, const char *from);
void wippy_preupdate(void*, sqlite3*, int, const char*, const char*, sqlite3_int64, sqlite3_int64);

#endif
