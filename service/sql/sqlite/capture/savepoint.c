#include <stdio.h>
#include <stdlib.h>
#include "internal.h"

/*
** The sentinel is a virtual table in the temp schema. Once it takes part in a transaction, SQLite tells it about
** every savepoint, those around single statements included: https://www.sqlite.org/vtab.html#xsavepoint.
** A mark is the length of the arena when a savepoint began.
**
** The sentinel can go away: a pragma closes the temp schema, or a statement drops or renames it. SQLite tells the
** sentinel that it is dropped, but not of the rest while our statement holds it. So it is looked for after statements
** that may have done it, and made anew if need be, before the next transaction begins.
*/

#define SENTINEL "wippy_capture_sentinel"

typedef struct sentinel {
  sqlite3_vtab base;
  wippy_capture *capture;
  int is_ours; /* and not a table that an app has made of the module */
} sentinel;

typedef struct sentinel_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_int64 left;
} sentinel_cursor;

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
  /* Savepoints older than the sentinel's part in the transaction began with it: had more than one statement written
     before, it would have been enlisted earlier. */
  mark now = {.offset = c->begin};
  if (!c->enlisting) {
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

static int sentinel_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  (void)err;
  wippy_capture *c = aux;
  int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(unused)");
  if (rc != SQLITE_OK) return rc;
  sentinel *s = calloc(1, sizeof *s);
  if (!s) return SQLITE_NOMEM;
  s->capture = c;
  s->is_ours = argc >= 3 && sqlite3_stricmp(argv[1], "temp") == 0 && sqlite3_stricmp(argv[2], c->sentinel) == 0;
  c->sentinels += s->is_ours;
  *out = &s->base;
  return SQLITE_OK;
}

/* Being another function than xConnect makes the sentinel exist in temp alone; else its name would stand for a table of
** main, and enlisting would lock that. */
static int sentinel_create(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **err) {
  return sentinel_connect(db, aux, argc, argv, out, err);
}

static int sentinel_disconnect(sqlite3_vtab *v) {
  sentinel *s = (sentinel*)v;
  if (s->is_ours && --s->capture->sentinels == 0) s->capture->signals.sentinel_gone = 1;
  free(s);
  return SQLITE_OK;
}

/* After DROP nothing tells of the savepoints that are open, so what they would undo cannot be told apart any more. */
static int sentinel_destroy(sqlite3_vtab *v) {
  wippy_capture *c = ((sentinel*)v)->capture;
  if (((sentinel*)v)->is_ours && c->enlisted) {
    if (wippy_arena_length(&c->arena) > c->begin && !c->lost) c->lost = WIPPY_LOST_NOT_ENLISTED;
    c->enlisted = 0;
    c->nmarks = 0;
  }
  return sentinel_disconnect(v);
}

static int sentinel_best_index(sqlite3_vtab *v, sqlite3_index_info *info) {
  (void)v, (void)info;
  return SQLITE_OK;
}

static int sentinel_open(sqlite3_vtab *v, sqlite3_vtab_cursor **out) {
  (void)v;
  sentinel_cursor *cursor = calloc(1, sizeof *cursor);
  if (!cursor) return SQLITE_NOMEM;
  *out = &cursor->base;
  return SQLITE_OK;
}

static int sentinel_close(sqlite3_vtab_cursor *cursor) {
  free(cursor);
  return SQLITE_OK;
}

static int sentinel_filter(sqlite3_vtab_cursor *cursor, int i, const char *s, int argc, sqlite3_value **argv) {
  (void)i, (void)s, (void)argc, (void)argv;
  ((sentinel_cursor*)cursor)->left = ((sentinel*)cursor->pVtab)->capture->enlist_rows;
  return SQLITE_OK;
}

static int sentinel_next(sqlite3_vtab_cursor *cursor) {
  ((sentinel_cursor*)cursor)->left--;
  return SQLITE_OK;
}

static int sentinel_eof(sqlite3_vtab_cursor *cursor) { return ((sentinel_cursor*)cursor)->left <= 0; }

static int sentinel_column(sqlite3_vtab_cursor *cursor, sqlite3_context *ctx, int i) {
  (void)cursor, (void)ctx, (void)i;
  return SQLITE_OK;
}

static int sentinel_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
  *rowid = ((sentinel_cursor*)cursor)->left;
  return SQLITE_OK;
}

static int sentinel_update(sqlite3_vtab *v, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
  (void)v, (void)argc, (void)argv, (void)rowid;
  return SQLITE_OK;
}

static int sentinel_begin(sqlite3_vtab *v) {
  if (((sentinel*)v)->is_ours) ((sentinel*)v)->capture->enlisted = 1;
  return SQLITE_OK;
}

static int sentinel_sync(sqlite3_vtab *v) {
  (void)v;
  return SQLITE_OK;
}

static int sentinel_end(sqlite3_vtab *v) {
  if (!((sentinel*)v)->is_ours) return SQLITE_OK;
  wippy_capture *c = ((sentinel*)v)->capture;
  c->enlisted = 0;
  c->nmarks = 0;
  return SQLITE_OK;
}

static int sentinel_savepoint(sqlite3_vtab *v, int n) {
  if (((sentinel*)v)->is_ours) wippy_mark(((sentinel*)v)->capture, n);
  return SQLITE_OK;
}

static int sentinel_release(sqlite3_vtab *v, int n) {
  if (((sentinel*)v)->is_ours) wippy_forget_marks(((sentinel*)v)->capture, n);
  return SQLITE_OK;
}

static int sentinel_rollback_to(sqlite3_vtab *v, int n) {
  if (((sentinel*)v)->is_ours) wippy_cut_to_mark(((sentinel*)v)->capture, n);
  return SQLITE_OK;
}

static const sqlite3_module sentinel_module = {
  .iVersion = 2,
  .xCreate = sentinel_create,
  .xConnect = sentinel_connect,
  .xBestIndex = sentinel_best_index,
  .xDisconnect = sentinel_disconnect,
  .xDestroy = sentinel_destroy,
  .xOpen = sentinel_open,
  .xClose = sentinel_close,
  .xFilter = sentinel_filter,
  .xNext = sentinel_next,
  .xEof = sentinel_eof,
  .xColumn = sentinel_column,
  .xRowid = sentinel_rowid,
  .xUpdate = sentinel_update,
  .xBegin = sentinel_begin,
  .xSync = sentinel_sync,
  .xCommit = sentinel_end,
  .xRollback = sentinel_end,
  .xSavepoint = sentinel_savepoint,
  .xRelease = sentinel_release,
  .xRollbackTo = sentinel_rollback_to,
};

static void name_sentinel(wippy_capture *c) {
  snprintf(c->sentinel, sizeof c->sentinel, c->sentinel_names ? SENTINEL "_%d" : SENTINEL, c->sentinel_names + 1);
}

/* Fails if there is no sentinel of the name, or if the name is that of a table of the app. */
static int prepare_enlist(wippy_capture *c) {
  char sql[80];
  snprintf(sql, sizeof sql, "DELETE FROM temp.%s", c->sentinel);
  sqlite3_finalize(c->enlist);
  c->enlist = NULL;
  int rc = sqlite3_prepare_v2(c->db, sql, -1, &c->enlist, NULL);
  if (rc == SQLITE_INTERRUPT) rc = sqlite3_prepare_v2(c->db, sql, -1, &c->enlist, NULL);
  return rc == SQLITE_OK && !c->sentinels ? SQLITE_ERROR : rc;
}

static int make_sentinel(wippy_capture *c) {
  char sql[120];
  snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.%s USING " SENTINEL, c->sentinel);
  int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
  if (rc == SQLITE_INTERRUPT) rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
  return rc;
}

enum { NAMES_AT_ONCE = 4 };

/* Not within a transaction: SQLite makes a table that is created there a part of it without telling the table. */
static int find_or_make_sentinel(wippy_capture *c) {
  int rc = prepare_enlist(c);
  for (int i = 0; i < NAMES_AT_ONCE && rc == SQLITE_ERROR; i++) {
    rc = make_sentinel(c);
    if (rc == SQLITE_OK) return prepare_enlist(c);
    if (rc != SQLITE_ERROR) return rc;
    c->sentinel_names++; /* the app has a table of that name */
    name_sentinel(c);
  }
  return rc;
}

int wippy_capture_reinstall(wippy_capture *c) {
  sqlite3_mutex_enter(sqlite3_db_mutex(c->db));
  int rc = find_or_make_sentinel(c);
  c->committing = 0; /* nothing but the sentinel was committed */
  c->signals.sentinel_gone = rc != SQLITE_OK;
  sqlite3_mutex_leave(sqlite3_db_mutex(c->db));
  return rc;
}

int wippy_capture_install(wippy_capture *c) {
  wippy_autocheckpoint(c);
  return wippy_capture_reinstall(c);
}

static int run_enlist(wippy_capture *c) {
  sqlite3_int64 before = sqlite3_total_changes64(c->db);
  int rc;
  do {
    rc = sqlite3_step(c->enlist);
  } while (rc == SQLITE_ROW);
  rc = sqlite3_reset(c->enlist);
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
** Deleting from the sentinel enlists it. The statement would set changes() to 0, which the user's next statement could
** see, so the sentinel pretends to have as many rows as changes() says, and leaves it as it was. After a statement that
** changed very many rows that would take too long.
*/
enum { MAX_PRETENDED = 10000 };

int wippy_capture_enlist(wippy_capture *c) {
  sqlite3_mutex_enter(sqlite3_db_mutex(c->db));
  c->enlist_rows = sqlite3_changes64(c->db);
  if (c->enlist_rows > MAX_PRETENDED) c->enlist_rows = 0;
  c->enlisting = 1;
  int rc = c->enlist && c->sentinels ? SQLITE_OK : prepare_enlist(c);
  if (rc == SQLITE_OK) rc = run_enlist(c);
  if (rc == SQLITE_INTERRUPT) rc = run_enlist(c);
  c->enlisting = 0;
  if (rc == SQLITE_OK && !c->enlisted) rc = SQLITE_ERROR;
  if (rc != SQLITE_OK) c->signals.sentinel_gone = 1;
  sqlite3_mutex_leave(sqlite3_db_mutex(c->db));
  return rc;
}

int wippy_sentinel_open(wippy_capture *c, void (*destroy)(void*)) {
  sqlite3 *db = c->db;
  name_sentinel(c);
  int rc = sqlite3_create_module_v2(db, SENTINEL, &sentinel_module, c, destroy);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_function_v2(db, "total_changes", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, c, total_changes, NULL, NULL, NULL);
}
