#include <stdlib.h>
#include "internal.h"

int wippy_capture_available(void) {
  return sqlite3_preupdate_hook != NULL && sqlite3_preupdate_old != NULL && sqlite3_commit_hook != NULL &&
         sqlite3_changes64 != NULL && sqlite3_db_name != NULL;
}

/* https://www.sqlite.org/c3ref/compileoption_get.html */
int wippy_capture_compiled(const char *option) {
  return sqlite3_compileoption_used && sqlite3_compileoption_used(option);
}

const wippy_signals *wippy_capture_signals(const wippy_capture *c) { return &c->signals; }

const char *wippy_capture_filename(sqlite3 *db) { return sqlite3_db_filename(db, "main"); }

int wippy_capture_is_busy(void *stmt) { return sqlite3_stmt_busy(stmt); }

/* Called before the commit, which can still fail: https://www.sqlite.org/c3ref/commit_hook.html */
static int on_commit(void *arg) {
  wippy_capture *c = arg;
  c->committing = 1;
  c->elsewhere = 0;
  if (sqlite3_txn_state(c->db, "main") != SQLITE_TXN_WRITE) return 0;
  if (c->segment && wippy_segment_commit(c)) return 1;
  c->own_commits++;
  if (c->active) wippy_wal_note(c);
  return 0;
}

static void on_rollback(void *arg) {
  wippy_capture *c = arg;
  c->unreset = 1;
  if (wippy_segment_rollback(c)) {
    c->signals.rolled_back = 1; /* which is what SQLite does to its schemas */
    wippy_seal(c);
    return;
  }
  c->committing = 0;
  wippy_cut_to_mark(c, -1);
}

static unsigned int data_version(wippy_capture *c) {
  unsigned int v = 0;
  sqlite3_file_control(c->db, "main", SQLITE_FCNTL_DATA_VERSION, &v);
  return v;
}

static int install_hooks(wippy_capture *c) {
  void *preupdate = sqlite3_preupdate_hook(c->db, wippy_preupdate, c);
  void *commit = sqlite3_commit_hook(c->db, on_commit, c);
  void *rollback = sqlite3_rollback_hook(c->db, on_rollback, c);
  return preupdate == c && commit == c && rollback == c;
}

static void destroy(void *arg) {
  wippy_capture *c = arg;
  wippy_capture_filter(c, 0, 0, NULL, 0);
  wippy_arena_reset(&c->arena);
  wippy_capture_forget_tables(c);
  wippy_arena_free(&c->arena);
  free(c->tables);
  free(c->index);
  free(c->marks);
  free(c->commits);
  free(c->columns);
  free(c->touched);
  free(c);
}

wippy_capture *wippy_capture_open(sqlite3 *db, uint64_t memory, uint64_t limit, const char *spill_dir) {
  wippy_capture *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->db = db;
  c->epoch = 1;
  c->arena.fd = -1;
  c->arena.memory = memory;
  c->arena.limit = limit;
  c->arena.spill_dir = strdup(spill_dir);
  if (!c->arena.spill_dir) {
    free(c);
    return NULL;
  }
  if (wippy_sentinel_open(c, destroy) != SQLITE_OK) return NULL; /* which has called destroy */
  install_hooks(c);
  c->data_version = data_version(c);
  return c;
}

void wippy_capture_close(wippy_capture *c) {
  sqlite3_preupdate_hook(c->db, NULL, NULL);
  sqlite3_commit_hook(c->db, NULL, NULL);
  sqlite3_rollback_hook(c->db, NULL, NULL);
  wippy_segment_end(c);
  sqlite3_finalize(c->enlist);
  c->enlist = NULL;
  c->active = 0;
}

int wippy_capture_restore_hooks(wippy_capture *c) { return install_hooks(c); }

void wippy_capture_lose(wippy_capture *c, int why) {
  int *lost = c->ncommits ? &c->commits[c->ncommits - 1].lost : &c->lost;
  if (!*lost) *lost = why;
}

/* Closes the books on the open transaction: it is committed. */
void wippy_seal(wippy_capture *c) {
  if (c->segment) wippy_segment_more(c);
  uint64_t end = wippy_arena_length(&c->arena);
  c->committing = 0;
  if (end == c->begin && !c->lost) {
    c->sealing.sequence = 0;
    wippy_summary_undo(c);
    return;
  }
  if (c->ncommits == c->commits_size) {
    int size = c->commits_size ? 2 * c->commits_size : 8;
    wippy_commit *commits = realloc(c->commits, (size_t)size * sizeof *commits);
    if (!commits) {
      c->lost = WIPPY_LOST_NO_MEMORY; /* said with the next commit */
      return;
    }
    c->commits = commits;
    c->commits_size = size;
  }
  c->commits[c->ncommits] = (wippy_commit){.end = end, .lost = c->lost};
  wippy_summary_seal(c, &c->commits[c->ncommits++].summary);
  c->begin = end;
  c->lost = 0;
}

void wippy_capture_taken(wippy_capture *c) {
  wippy_arena_reset(&c->arena);
  c->ncommits = 0;
  c->begin = 0;
  wippy_summary_reset(c);
  for (int i = 0; i < c->nmarks; i++) c->marks[i].offset = 0;
}

/*
** While a statement that writes has not been reset, SQLite undoes others that fail by a savepoint and not by a
** rollback, even in autocommit mode. It may write to another database than main.
*/
static int has_unreset(wippy_capture *c) {
  sqlite3_stmt *s = NULL;
  while ((s = sqlite3_next_stmt(c->db, s))) {
    if (sqlite3_stmt_busy(s) && !sqlite3_stmt_readonly(s)) return 1;
  }
  return 0;
}

static uint64_t take_small(wippy_capture *c, void *buffer, uint32_t size) {
  wippy_commit only = c->commits[0];
  if (c->ncommits != 1 || only.lost || c->arena.spilled || only.end > size) return 0;
  memcpy(buffer, c->arena.bytes, only.end);
  c->signals.copied = only.summary;
  c->signals.copied.tables = c->touched;
  wippy_capture_taken(c);
  return WIPPY_COPIED | only.end << 32;
}

/* Bits of the commits that wait. They are taken together, and not while the next transaction has records already. */
static uint64_t commits_state(wippy_capture *c, uint64_t state, void *buffer, uint32_t size) {
  if (!c->ncommits || c->begin != wippy_arena_length(&c->arena)) return 0;
  if (state & (WIPPY_NEW_TABLES | WIPPY_EXTERNAL)) return WIPPY_COMMITTED;
  return WIPPY_COMMITTED | take_small(c, buffer, size);
}

int wippy_capture_foreign(wippy_capture *c) { return data_version(c) != c->data_version + c->own_commits; }

uint64_t wippy_capture_after(wippy_capture *c, uint32_t known, void *buffer, uint32_t size) {
  sqlite3_mutex *mutex = sqlite3_db_mutex(c->db);
  sqlite3_mutex_enter(mutex);
  uint64_t state = 0;
  int autocommit = sqlite3_get_autocommit(c->db);
  if (autocommit) state |= WIPPY_AUTOCOMMIT;
  int txn = sqlite3_txn_state(c->db, "main");
  if (txn == SQLITE_TXN_WRITE) state |= WIPPY_WRITING;
  if (txn > 0) state |= WIPPY_PINNED;
  if (c->enlisted) state |= WIPPY_ENLISTED;
  if (c->committing && autocommit) {
    wippy_segment_settle(c);
    wippy_seal(c);
  }
  c->sealing.more = 0;
  c->committing = 0; /* a COMMIT that was busy leaves the transaction open */
  if (c->in_doubt && autocommit) wippy_wal_settle(c);
  unsigned int version = data_version(c);
  if (version != c->data_version + c->own_commits) state |= WIPPY_EXTERNAL;
  c->data_version = version;
  c->own_commits = 0;
  if (c->unreset) c->unreset = has_unreset(c);
  if (c->unreset || (autocommit && sqlite3_txn_state(c->db, NULL) == SQLITE_TXN_WRITE)) state |= WIPPY_UNRESET;
  if (c->signals.rolled_back) state |= WIPPY_ROLLED_BACK;
  c->signals.rolled_back = 0;
  if (c->signals.tables > known) state |= WIPPY_NEW_TABLES;
  state |= commits_state(c, state, buffer, size);
  sqlite3_mutex_leave(mutex);
  return state;
}

int wippy_capture_commits(wippy_capture *c) { return c->ncommits; }

wippy_commit wippy_capture_commit(wippy_capture *c, int i) {
  wippy_commit commit = c->commits[i];
  commit.summary.tables = c->touched;
  for (int before = 0; before < i; before++) commit.summary.tables += c->commits[before].summary.touched;
  return commit;
}

uint64_t wippy_capture_length(wippy_capture *c) { return wippy_arena_length(&c->arena); }

uint64_t wippy_capture_spilled(wippy_capture *c) { return c->arena.spilled; }

/* Copies from the part in memory. */
void wippy_capture_copy(wippy_capture *c, uint64_t from, void *to, uint64_t n) {
  memcpy(to, c->arena.bytes + (from - c->arena.spilled), n);
}

/* Hands the spill file over to the caller, who closes it. */
int wippy_capture_take_spill(wippy_capture *c) {
  int fd = c->arena.fd;
  c->arena.fd = -1;
  return fd;
}
