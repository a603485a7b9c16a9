/*
** Capture of row changes on one SQLite connection. All functions are called with the connection idle or from
** SQLite's own callbacks; each takes the connection's mutex where it needs it.
*/
#ifndef WIPPY_CAPTURE_H
#define WIPPY_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

typedef struct sqlite3 sqlite3;
typedef struct wippy_capture wippy_capture;

/* Why changes could not be kept. */
enum {
  WIPPY_LOST_NOTHING = 0,
  WIPPY_LOST_TOO_LARGE,
  WIPPY_LOST_NO_MEMORY,
  WIPPY_LOST_READ_ERROR,
  WIPPY_LOST_BLOB_WRITE,
  WIPPY_LOST_NOT_ENLISTED,
  WIPPY_LOST_MARKS,
  WIPPY_LOST_SPILL,
  WIPPY_LOST_IN_PART,
  WIPPY_LOST_SHAPE
};

/* Bits of the result of wippy_capture_after. */
enum {
  WIPPY_AUTOCOMMIT = 1,  /* no transaction is open */
  WIPPY_WRITING = 2,     /* a write transaction is open, by a statement still running if AUTOCOMMIT is set */
  WIPPY_ENLISTED = 4,    /* the sentinel takes part in the open transaction */
  WIPPY_COMMITTED = 8,   /* at least one transaction is committed for certain and waits to be taken */
  WIPPY_COPIED = 16,     /* ... it was the only one, and its records are in the buffer given */
  WIPPY_LOST = 32,       /* one of them is incomplete */
  WIPPY_EXTERNAL = 64,   /* another connection may have committed since the last call */
  WIPPY_NEW_TABLES = 128,/* tables were met that are not resolved */
  WIPPY_ROLLED_BACK = 256,/* something was undone since the last call */
  WIPPY_PINNED = 1024,   /* the open transaction sees the database as of one moment, and reading changes nothing */
  WIPPY_UNRESET = 512    /* a statement that writes anywhere, or that a rollback has aborted, was not reset yet */
};

/* A table of which a transaction may have changed rows; ops has the bit 1<<op for each operation. What a savepoint has
** undone stays. */
typedef struct wippy_touched {
  uint32_t slot;
  uint32_t ops;
} wippy_touched;

enum { WIPPY_OPS = 6 };  /* operations are numbered from 1 */

/* What a transaction has done: how many records of each operation there are, and to which tables. */
typedef struct wippy_summary {
  uint64_t sequence;     /* in the segment file, 0 without one, and the time that stands there, in Unix nanoseconds */
  int64_t at;
  uint64_t end;          /* the length of the segment file */
  uint32_t gap;          /* it stands there as a gap */
  uint32_t unnamed;      /* shapes of its tables have no name there */
  uint32_t counts[WIPPY_OPS];
  uint32_t touched;      /* how many */
  const wippy_touched *tables;
} wippy_summary;

/* What can be looked at without a call while no statement runs. */
typedef struct wippy_signals {
  uint32_t tables;       /* number of slots */
  uint32_t rolled_back;  /* something was undone since the last wippy_capture_after */
  uint32_t sentinel_gone; /* the sentinel may be gone */
  uint32_t segment_news; /* wippy_segment_news has something to tell */
  wippy_summary copied;  /* of what wippy_capture_after has moved to the buffer, until the next statement */
} wippy_signals;

/* One committed transaction in the arena. */
typedef struct wippy_commit {
  uint64_t end;          /* offset behind its last record */
  int lost;
  wippy_summary summary; /* tables points to what wippy_capture_commit returns it for */
} wippy_commit;

/* A table met by the preupdate hook; its index is the slot that records carry. */
typedef struct wippy_table {
  char *name;
  uint32_t hash;
  int wanted;
  uint32_t shape;        /* what the segment file calls its shape, 0 if it has no name yet */
  uint32_t epoch;        /* the transaction that has touched it last, and where it is noted */
  uint32_t noted;
} wippy_table;

int wippy_capture_available(void);
int wippy_capture_compiled(const char *option);
wippy_capture *wippy_capture_open(sqlite3 *db, uint64_t memory, uint64_t limit, const char *spill_dir);
const char *wippy_capture_filename(sqlite3 *db);

/*
** Ends capture before the connection closes, or our statement would keep it open. The capture itself lives on until
** SQLite has closed the connection, because closing may still roll back a transaction.
*/
void wippy_capture_close(wippy_capture*);

/* Sets what is captured: nothing, everything, or the n names that stand one behind the other in names. */
int wippy_capture_filter(wippy_capture*, int active, int all, const char *names, int n);

/* Makes the sentinel, when all options are set, and takes over the automatic checkpoints. */
int wippy_capture_install(wippy_capture*);

/* Makes the sentinel again if it is gone. Called while no transaction is open. */
int wippy_capture_reinstall(wippy_capture*);

/* Makes the sentinel take part in the open transaction, until it ends. Called before the first statement that writes. */
int wippy_capture_enlist(wippy_capture*);

/* Looks at the connection after a statement. known is the number of tables resolved. With WIPPY_COPIED the only
** committed transaction was moved to buffer, and the upper 32 bits of the result are its length. */
uint64_t wippy_capture_after(wippy_capture*, uint32_t known, void *buffer, uint32_t size);

/* The committed transactions that wait, and their bytes; taken drops them. */
int wippy_capture_commits(wippy_capture*);
wippy_commit wippy_capture_commit(wippy_capture*, int i);
uint64_t wippy_capture_length(wippy_capture*);
void wippy_capture_copy(wippy_capture*, uint64_t from, void *to, uint64_t n);
uint64_t wippy_capture_spilled(wippy_capture*);
int wippy_capture_take_spill(wippy_capture*);
void wippy_capture_taken(wippy_capture*);

const wippy_signals *wippy_capture_signals(const wippy_capture*);

/* Tables by slot. */
wippy_table wippy_capture_table(wippy_capture*, uint32_t slot);
void wippy_capture_ignore(wippy_capture*, uint32_t slot);
int wippy_capture_forget_tables(wippy_capture*);
void wippy_capture_lose(wippy_capture*, int why);

/*
** Changes that no hook tells about. They go to the end of the transaction that the last statement belongs to, which
** must not have been looked at by wippy_capture_after yet. holds tells whether there is one, foreign whether another
** connection has committed meanwhile. slot_of returns the slot of a table, or -1 if it is not wanted.
*/
int wippy_capture_holds(wippy_capture*);
int wippy_capture_foreign(wippy_capture*);
int wippy_capture_wants(wippy_capture*, const char *table);
int64_t wippy_capture_slot_of(wippy_capture*, const char *table);
void wippy_capture_truncate(wippy_capture*, uint32_t slot);
void wippy_capture_schema(wippy_capture*, uint32_t slot, int action, const char *text, const char *from);
int wippy_capture_rows(wippy_capture*, uint32_t slot, const char *select, const char *rowids);

/* Whether the hooks are still ours; puts them back. */
int wippy_capture_restore_hooks(wippy_capture*);

int wippy_capture_is_busy(void *stmt);

#endif
