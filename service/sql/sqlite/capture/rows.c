#include "internal.h"

/* rowids is NULL unless the rowid has no room beside the columns. */
int wippy_rows_open(wippy_rows *r, sqlite3 *db, const char *rows, const char *rowids) {
  *r = (wippy_rows){NULL, NULL};
  int rc = sqlite3_prepare_v2(db, rows, -1, &r->rows, NULL);
  if (rc == SQLITE_OK && rowids) rc = sqlite3_prepare_v2(db, rowids, -1, &r->rowids, NULL);
  return rc;
}

/* SQLITE_ROW, SQLITE_DONE or an error. */
int wippy_rows_step(wippy_rows *r) {
  int rc = sqlite3_step(r->rows);
  if (!r->rowids || (rc != SQLITE_ROW && rc != SQLITE_DONE)) return rc;
  int other = sqlite3_step(r->rowids);
  if (other == rc) return rc;
  return other == SQLITE_ROW || other == SQLITE_DONE ? SQLITE_ERROR : other;
}

void wippy_rows_close(wippy_rows *r) {
  sqlite3_finalize(r->rows);
  sqlite3_finalize(r->rowids);
  *r = (wippy_rows){NULL, NULL};
}
