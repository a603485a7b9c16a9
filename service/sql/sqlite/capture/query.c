#include "internal.h"
#include "query.h"

WEAK const char *sqlite3_errmsg(sqlite3*);
WEAK int sqlite3_extended_errcode(sqlite3*);

wippy_result wippy_query(sqlite3 *db, const char *query) {
  wippy_capture records = {.db = db, .arena = {.fd = -1}}; /* only its arena is used */
  sqlite3_stmt *rows = NULL;
  int rc = sqlite3_prepare_v2(db, query, -1, &rows, NULL);
  while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
    rc = wippy_record_row(&records, rows) ? SQLITE_NOMEM : SQLITE_OK;
  }
  sqlite3_finalize(rows); /* which repeats the error */
  wippy_result result = {.rows = records.arena.bytes, .length = records.arena.used};
  if (rc != SQLITE_OK && rc != SQLITE_DONE) {
    result.code = rc == SQLITE_NOMEM ? rc : sqlite3_extended_errcode(db);
    result.message = sqlite3_errmsg(db);
  }
  return result;
}
