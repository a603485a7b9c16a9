#include <stdlib.h>
#include "internal.h"

/*
** The guard is a virtual table in the temp schema. Once it takes part in a transaction, SQLite tells it about
** every savepoint, those around single statements included: https://www.sqlite.org/vtab.html#xsavepoint.
** A mark is the length of the arena when a savepoint began.
*/

#define GUARD "wippy_capture_guard"

typedef struct guard {
  sqlite3_vtab base;
  wippy_capture *capture;
} guard;

typedef struct guard_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_int64 left;
} guard_cursor;

/*
** A mark that is there already stays. It is there if BEGIN came while a statement with a savepoint of its own was not
** reset: SQLite then numbers savepoints anew, but the pager keeps its older one, and undoing goes back to that.
*/
void wippy_mark(wippy_capture *c, int n) {
  if (n < c->nmarks) return;
  if (n >= c->marks_size) {
    int size = n + 16;
    mark *marks = realloc(c->marks, (size_t)size * sizeof *marks);
    if (!marks) {
      c->lost = WIPPY_LOST_NO_MEMORY;
      return;
    }
    c->marks = marks;
    c->marks_size = size;
  }
  /* Savepoints older than the guard's part in the transaction began with it: had more than one statement written
     before, the guard would have joined earlier. */
  mark now = {c->joining ? c->begin : wippy_arena_length(&c->arena), c->joining ? 0 : c->lost};
  while (c->nmarks <= n) c->marks[c->nmarks++] = now;
}

void wippy_cut_to_mark(wippy_capture *c, int n) {
  c->signals.rolled_back = 1;
  if (n < 0) {
    wippy_arena_cut(&c->arena, c->begin);
    c->lost = 0;
    c->nmarks = 0;
    return;
  }
  if (n >= c->nmarks) {
    c->lost = WIPPY_LOST_MARKS;
    return;
  }
  wippy_arena_cut(&c->arena, c->marks[n].offset);
  c->lost = c->marks[n].lost;
  c->nmarks = n + 1;
}

void wippy_forget_marks(wippy_capture *c, int n) {
  if (n < 0) n = 0;
  if (n < c->nmarks) c->nmarks = n;
}

static int guard_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  (void)argc, (void)argv, (void)err;
  guard *g = calloc(1, sizeof *g);
  if (!g) return SQLITE_NOMEM;
  g->capture = aux;
  *out = &g->base;
  return sqlite3_declare_vtab(db, "CREATE TABLE x(unused)");
}

/* Being another function than xConnect makes the guard exist in temp alone; else its name would stand for a table of
** main, and joining would lock that. */
static int guard_create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  return guard_connect(db, aux, argc, argv, out, err);
}

static int guard_disconnect(sqlite3_vtab *v) {
  free(v);
  return SQLITE_OK;
}

static int guard_best_index(sqlite3_vtab *v, sqlite3_index_info *info) {
  (void)v, (void)info;
  return SQLITE_OK;
}

static int guard_open(sqlite3_vtab *v, sqlite3_vtab_cursor **out) {
  (void)v;
  guard_cursor *cursor = calloc(1, sizeof *cursor);
  if (!cursor) return SQLITE_NOMEM;
  *out = &cursor->base;
  return SQLITE_OK;
}

static int guard_close(sqlite3_vtab_cursor *cursor) {
  free(cursor);
  return SQLITE_OK;
}

static int guard_filter(sqlite3_vtab_cursor *cursor, int i, const char *s, int argc, sqlite3_value **argv) {
  (void)i, (void)s, (void)argc, (void)argv;
  ((guard_cursor*)cursor)->left = ((guard*)cursor->pVtab)->capture->join_rows;
  return SQLITE_OK;
}

static int guard_next(sqlite3_vtab_cursor *cursor) {
  ((guard_cursor*)cursor)->left--;
  return SQLITE_OK;
}

static int guard_eof(sqlite3_vtab_cursor *cursor) { return ((guard_cursor*)cursor)->left <= 0; }

static int guard_column(sqlite3_vtab_cursor *cursor, sqlite3_context *ctx, int i) {
  (void)cursor, (void)ctx, (void)i;
  return SQLITE_OK;
}

static int guard_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
  *rowid = ((guard_cursor*)cursor)->left;
  return SQLITE_OK;
}

static int guard_update(sqlite3_vtab *v, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
  (void)v, (void)argc, (void)argv, (void)rowid;
  return SQLITE_OK;
}

static int guard_begin(sqlite3_vtab *v) {
  ((guard*)v)->capture->joined = 1;
  return SQLITE_OK;
}

static int guard_sync(sqlite3_vtab *v) {
  (void)v;
  return SQLITE_OK;
}

static int guard_end(sqlite3_vtab *v) {
  wippy_capture *c = ((guard*)v)->capture;
  c->joined = 0;
  c->nmarks = 0;
  return SQLITE_OK;
}

static int guard_savepoint(sqlite3_vtab *v, int n) {
  wippy_mark(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static int guard_release(sqlite3_vtab *v, int n) {
  wippy_forget_marks(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static int guard_rollback_to(sqlite3_vtab *v, int n) {
  wippy_cut_to_mark(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static const sqlite3_module guard_module = {
  .iVersion = 2,
  .xCreate = guard_create,
  .xConnect = guard_connect,
  .xBestIndex = guard_best_index,
  .xDisconnect = guard_disconnect,
  .xDestroy = guard_disconnect,
  .xOpen = guard_open,
  .xClose = guard_close,
  .xFilter = guard_filter,
  .xNext = guard_next,
  .xEof = guard_eof,
  .xColumn = guard_column,
  .xRowid = guard_rowid,
  .xUpdate = guard_update,
  .xBegin = guard_begin,
  .xSync = guard_sync,
  .xCommit = guard_end,
  .xRollback = guard_end,
  .xSavepoint = guard_savepoint,
  .xRelease = guard_release,
  .xRollbackTo = guard_rollback_to,
};


/* Not within a transaction: SQLite makes a table that is created there a part of it without telling the table. */
int wippy_capture_arm(wippy_capture *c) {
  int rc = sqlite3_exec(c->db, "CREATE VIRTUAL TABLE temp." GUARD " USING " GUARD, NULL, NULL, NULL);
  if (rc != SQLITE_OK) return rc;
  wippy_autocheckpoint(c);
  return sqlite3_prepare_v2(c->db, "DELETE FROM temp." GUARD, -1, &c->join, NULL);
}

static int run_join(wippy_capture *c) {
  sqlite3_int64 before = sqlite3_total_changes64(c->db);
  int rc;
  do {
    rc = sqlite3_step(c->join);
  } while (rc == SQLITE_ROW);
  rc = sqlite3_reset(c->join);
  c->pretended += sqlite3_total_changes64(c->db) - before;
  return rc;
}

/* Replaces the SQL function of that name: https://www.sqlite.org/lang_corefunc.html#total_changes */
static void total_changes(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  wippy_capture *c = sqlite3_user_data(ctx);
  sqlite3_result_int64(ctx, sqlite3_total_changes64(c->db) - c->pretended);
}

/*
** Deleting from the guard makes it join. The statement would set changes() to 0, which the user's next statement
** could see, so the guard pretends to have as many rows as changes() says, and leaves it as it was. After a statement
** that changed very many rows that would take too long.
*/
enum { MAX_PRETENDED = 10000 };

int wippy_capture_join(wippy_capture *c) {
  sqlite3_mutex_enter(sqlite3_db_mutex(c->db));
  c->join_rows = sqlite3_changes64(c->db);
  if (c->join_rows > MAX_PRETENDED) c->join_rows = 0;
  c->joining = 1;
  int rc = c->join ? run_join(c) : SQLITE_ERROR;
  if (rc == SQLITE_INTERRUPT) rc = run_join(c);
  c->joining = 0;
  if (rc == SQLITE_OK && !c->joined) rc = SQLITE_ERROR;
  sqlite3_mutex_leave(sqlite3_db_mutex(c->db));
  return rc;
}

int wippy_guard_open(wippy_capture *c, void (*destroy)(void*)) {
  sqlite3 *db = c->db;
  int rc = sqlite3_create_module_v2(db, GUARD, &guard_module, c, destroy);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_function_v2(db, "total_changes", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, c, total_changes, NULL, NULL, NULL);
}
