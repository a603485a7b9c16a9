#include <stdio.h>
#include <stdlib.h>
#include "internal.h"

/*
** The guard is a virtual table in the temp schema. Once it takes part in a transaction, SQLite tells it about
** every savepoint, those around single statements included: https://www.sqlite.org/vtab.html#xsavepoint.
** A mark is the length of the arena when a savepoint began.
**
** The guard can go away: a pragma closes the temp schema, or a statement drops or renames it. SQLite tells the guard that it
** is dropped, but not of the rest while our statement holds the guard. So the guard is looked for after statements that may
** have done it, and made anew if need be, before the next transaction begins.
*/

#define GUARD "wippy_capture_guard"

typedef struct guard {
  sqlite3_vtab base;
  wippy_capture *capture;
  int is_ours; /* and not a table that an app has made of the module */
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
  mark now = {.offset = c->begin};
  if (!c->joining) {
    now.offset = wippy_arena_length(&c->arena);
    now.lost = c->lost;
    memcpy(now.counts, c->counts, sizeof now.counts);
  }
  while (c->nmarks <= n) c->marks[c->nmarks++] = now;
}

void wippy_cut_to_mark(wippy_capture *c, int n) {
  c->signals.rolled_back = 1;
  if (n < 0) {
    wippy_arena_cut(&c->arena, c->begin);
    c->lost = 0;
    c->nmarks = 0;
    wippy_summary_undo(c);
    return;
  }
  if (n >= c->nmarks) {
    c->lost = WIPPY_LOST_MARKS;
    return;
  }
  wippy_arena_cut(&c->arena, c->marks[n].offset);
  c->lost = c->marks[n].lost;
  memcpy(c->counts, c->marks[n].counts, sizeof c->counts);
  c->nmarks = n + 1;
}

void wippy_forget_marks(wippy_capture *c, int n) {
  if (n < 0) n = 0;
  if (n < c->nmarks) c->nmarks = n;
}

static int guard_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  (void)err;
  wippy_capture *c = aux;
  int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(unused)");
  if (rc != SQLITE_OK) return rc;
  guard *g = calloc(1, sizeof *g);
  if (!g) return SQLITE_NOMEM;
  g->capture = c;
  g->is_ours = argc >= 3 && sqlite3_stricmp(argv[1], "temp") == 0 && sqlite3_stricmp(argv[2], c->guard) == 0;
  c->guards += g->is_ours;
  *out = &g->base;
  return SQLITE_OK;
}

/* Being another function than xConnect makes the guard exist in temp alone; else its name would stand for a table of
** main, and joining would lock that. */
static int guard_create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  return guard_connect(db, aux, argc, argv, out, err);
}

static int guard_disconnect(sqlite3_vtab *v) {
  guard *g = (guard*)v;
  if (g->is_ours && --g->capture->guards == 0) g->capture->signals.unguarded = 1;
  free(g);
  return SQLITE_OK;
}

/* After DROP nothing tells of the savepoints that are open, so what they would undo cannot be told apart any more. */
static int guard_destroy(sqlite3_vtab *v) {
  wippy_capture *c = ((guard*)v)->capture;
  if (((guard*)v)->is_ours && c->joined) {
    if (wippy_arena_length(&c->arena) > c->begin && !c->lost) c->lost = WIPPY_LOST_UNGUARDED;
    c->joined = 0;
    c->nmarks = 0;
  }
  return guard_disconnect(v);
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
  if (((guard*)v)->is_ours) ((guard*)v)->capture->joined = 1;
  return SQLITE_OK;
}

static int guard_sync(sqlite3_vtab *v) {
  (void)v;
  return SQLITE_OK;
}

static int guard_end(sqlite3_vtab *v) {
  if (!((guard*)v)->is_ours) return SQLITE_OK;
  wippy_capture *c = ((guard*)v)->capture;
  c->joined = 0;
  c->nmarks = 0;
  return SQLITE_OK;
}

static int guard_savepoint(sqlite3_vtab *v, int n) {
  if (((guard*)v)->is_ours) wippy_mark(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static int guard_release(sqlite3_vtab *v, int n) {
  if (((guard*)v)->is_ours) wippy_forget_marks(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static int guard_rollback_to(sqlite3_vtab *v, int n) {
  if (((guard*)v)->is_ours) wippy_cut_to_mark(((guard*)v)->capture, n);
  return SQLITE_OK;
}

static const sqlite3_module guard_module = {
  .iVersion = 2,
  .xCreate = guard_create,
  .xConnect = guard_connect,
  .xBestIndex = guard_best_index,
  .xDisconnect = guard_disconnect,
  .xDestroy = guard_destroy,
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

static void name_guard(wippy_capture *c) {
  snprintf(c->guard, sizeof c->guard, c->guard_names ? GUARD "_%d" : GUARD, c->guard_names + 1);
}

/* Fails if there is no guard of the name, or if the name is that of a table of the app. */
static int prepare_join(wippy_capture *c) {
  char sql[80];
  snprintf(sql, sizeof sql, "DELETE FROM temp.%s", c->guard);
  sqlite3_finalize(c->join);
  c->join = NULL;
  int rc = sqlite3_prepare_v2(c->db, sql, -1, &c->join, NULL);
  if (rc == SQLITE_INTERRUPT) rc = sqlite3_prepare_v2(c->db, sql, -1, &c->join, NULL);
  return rc == SQLITE_OK && !c->guards ? SQLITE_ERROR : rc;
}

static int make_guard(wippy_capture *c) {
  char sql[120];
  snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.%s USING " GUARD, c->guard);
  int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
  if (rc == SQLITE_INTERRUPT) rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
  return rc;
}

enum { NAMES_AT_ONCE = 4 };

/* Not within a transaction: SQLite makes a table that is created there a part of it without telling the table. */
static int find_or_make_guard(wippy_capture *c) {
  int rc = prepare_join(c);
  for (int i = 0; i < NAMES_AT_ONCE && rc == SQLITE_ERROR; i++) {
    rc = make_guard(c);
    if (rc == SQLITE_OK) return prepare_join(c);
    if (rc != SQLITE_ERROR) return rc;
    c->guard_names++; /* the app has a table of that name */
    name_guard(c);
  }
  return rc;
}

int wippy_capture_rearm(wippy_capture *c) {
  sqlite3_mutex_enter(sqlite3_db_mutex(c->db));
  int rc = find_or_make_guard(c);
  c->committing = 0; /* nothing but the guard was committed */
  c->signals.unguarded = rc != SQLITE_OK;
  sqlite3_mutex_leave(sqlite3_db_mutex(c->db));
  return rc;
}

int wippy_capture_arm(wippy_capture *c) {
  wippy_autocheckpoint(c);
  return wippy_capture_rearm(c);
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
  int rc = c->join && c->guards ? SQLITE_OK : prepare_join(c);
  if (rc == SQLITE_OK) rc = run_join(c);
  if (rc == SQLITE_INTERRUPT) rc = run_join(c);
  c->joining = 0;
  if (rc == SQLITE_OK && !c->joined) rc = SQLITE_ERROR;
  if (rc != SQLITE_OK) c->signals.unguarded = 1;
  sqlite3_mutex_leave(sqlite3_db_mutex(c->db));
  return rc;
}

int wippy_guard_open(wippy_capture *c, void (*destroy)(void*)) {
  sqlite3 *db = c->db;
  name_guard(c);
  int rc = sqlite3_create_module_v2(db, GUARD, &guard_module, c, destroy);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_function_v2(db, "total_changes", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, c, total_changes, NULL, NULL, NULL);
}
