#include "internal.h"

/* Records of what changes a table as a whole, see capture.h. */

int wippy_capture_holds(wippy_capture *c) {
  return c->committing || sqlite3_txn_state(c->db, "main") == SQLITE_TXN_WRITE;
}

int64_t wippy_capture_slot_of(wippy_capture *c, const char *table) {
  uint32_t slot;
  const wippy_table *t = wippy_table_of(c, table, &slot);
  if (!t) {
    wippy_capture_lose(c, WIPPY_LOST_NO_MEMORY);
    return -1;
  }
  return t->wanted ? (int64_t)slot : -1;
}

void wippy_capture_truncate(wippy_capture *c, uint32_t slot) {
  if (!wippy_may_record(c)) return;
  c->lost = wippy_record_truncate(c, slot);
  if (!c->lost) c->lost = wippy_note(c, slot, RECORD_TRUNCATE);
}

void wippy_capture_schema(wippy_capture *c, uint32_t slot, int action, const char *text, const char *from) {
  if (!wippy_may_record(c)) return;
  c->lost = wippy_record_schema(c, slot, action, text, from);
  if (!c->lost) c->lost = wippy_note(c, slot, RECORD_SCHEMA);
}

/* Records all rows of a table as inserted, see wippy_rows. */
int wippy_capture_rows(wippy_capture *c, uint32_t slot, const char *select, const char *rowids) {
  wippy_rows rows;
  int rc = wippy_rows_open(&rows, c->db, select, rowids);
  while (rc == SQLITE_OK && (rc = wippy_rows_step(&rows)) == SQLITE_ROW) {
    rc = SQLITE_OK;
    if (!wippy_may_record(c)) continue;
    c->lost = wippy_record_insert(c, slot, &rows);
    if (!c->lost) c->lost = wippy_note(c, slot, RECORD_INSERT);
  }
  wippy_rows_close(&rows);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
