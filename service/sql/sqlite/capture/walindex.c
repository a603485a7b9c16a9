#include "internal.h"

/*
** What the log of main has committed, by the header of the wal-index:
** https://www.sqlite.org/walformat.html#the_wal_index_file_format. A transaction that also writes to another database,
** that of temporary tables included, is committed database by database. If that fails after main, SQLite reports an
** error and calls the rollback hook, and main is committed.
*/
enum { WAL_INDEX_SIZE = 32768, CHANGE_COUNTER = 2 /* iChange, in 32-bit words */, HEADER_WORDS = 12, ATTEMPTS = 100 };

/*
** In WAL mode a writer keeps a shared lock on the database file and no more. In the other modes it has an exclusive
** one, as it has if the wal-index is in memory of its own; asking for the shared memory would then make some.
*/
const volatile uint32_t *wippy_wal_index(wippy_capture *c) {
  sqlite3_file *file = NULL;
  int lock = -1;
  if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_LOCKSTATE, &lock) != SQLITE_OK || lock != SQLITE_LOCK_SHARED) return NULL;
  sqlite3_file_control(c->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (!file || !file->pMethods || file->pMethods->iVersion < 2 || !file->pMethods->xShmMap) return NULL;
  void volatile *index = NULL;
  if (file->pMethods->xShmMap(file, 0, WAL_INDEX_SIZE, 0, &index) != SQLITE_OK) return NULL;
  return index;
}

/* Reads the counter of commits. There are two copies of the header, which are alike unless it is being written. */
static int read_counter(const volatile uint32_t *index, uint32_t *counter) {
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    uint32_t words[2 * HEADER_WORDS];
    for (int i = 0; i < 2 * HEADER_WORDS; i++) words[i] = index[i];
    if (memcmp(words, words + HEADER_WORDS, HEADER_WORDS * sizeof *words) != 0) continue;
    *counter = words[CHANGE_COUNTER];
    return 1;
  }
  return 0;
}

static int writes_elsewhere(wippy_capture *c) {
  for (int i = 1;; i++) {
    const char *name = sqlite3_db_name(c->db, i);
    if (!name) return 0;
    if (sqlite3_txn_state(c->db, name) == SQLITE_TXN_WRITE) return 1;
  }
}

/* Called by the commit hook, before anything is committed. */
void wippy_wal_note(wippy_capture *c) {
  c->elsewhere = writes_elsewhere(c);
  c->wal_index = c->elsewhere ? wippy_wal_index(c) : NULL;
  if (c->wal_index && !read_counter(c->wal_index, &c->counter)) c->wal_index = NULL;
}

/*
** Called by the rollback hook: whether the transaction that was noted is committed in main all the same. What the
** wal-index does not tell is left to wippy_wal_settle.
*/
int wippy_wal_has_committed(wippy_capture *c) {
  uint32_t now;
  if (!c->elsewhere) return 0;
  if (c->wal_index && read_counter(c->wal_index, &now)) return now == c->counter + 1;
  c->in_doubt = wippy_arena_length(&c->arena) > c->begin;
  return 0;
}

/* In the other modes a journal of all databases together makes the commit one, or main comes last. */
void wippy_wal_settle(wippy_capture *c) {
  c->in_doubt = 0;
  sqlite3_stmt *mode;
  if (sqlite3_prepare_v2(c->db, "PRAGMA main.journal_mode", -1, &mode, NULL) != SQLITE_OK) return;
  if (sqlite3_step(mode) == SQLITE_ROW && sqlite3_stricmp((const char*)sqlite3_value_text(sqlite3_column_value(mode, 0)), "wal") == 0) {
    if (!c->lost) c->lost = WIPPY_LOST_IN_PART;
    wippy_seal(c);
  }
  sqlite3_finalize(mode);
}
