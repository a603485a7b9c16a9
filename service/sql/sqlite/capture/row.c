#include <stdlib.h>
#include "internal.h"

/*
** A record, little-endian:
**   u32 length of the record   u8 operation (RECORD_…)   u8 action (schema: 1 create, 2 alter, 3 drop)
**   u16 columns   u32 slot
**   i64 old rowid (update, delete)   i64 new rowid (insert, update)
**   old values (update, delete)   new values (insert, update)
**   two values (schema): the CREATE text, NULL when dropped; the former name, NULL unless renamed
** A value is a tag and its payload:
*/
enum {
  TAG_NULL, TAG_INT8, TAG_INT16, TAG_INT32, TAG_INT64, TAG_REAL,
  TAG_TEXT8, TAG_TEXT32,     /* length in 1 or 4 bytes, then the bytes */
  TAG_BLOB8, TAG_BLOB32,
  TAG_SAME,                  /* new values of an update: the old value */
  TAG_ABSENT,                /* a virtual generated column */
  TAG_DEFAULT                /* the default of the column */
};

enum { HEADER = 12, FIXED = 9 };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are written in the byte order of the machine, which must be little-endian"
#endif

static void put(arena *a, const void *from, size_t n) {
  memcpy(a->bytes + a->used, from, n);
  a->used += n;
}

static void put_byte(arena *a, uint8_t b) { a->bytes[a->used++] = b; }

static void put_int(arena *a, sqlite3_int64 v) {
  if (v == (int8_t)v) {
    put_byte(a, TAG_INT8);
    put_byte(a, (uint8_t)v);
  } else if (v == (int16_t)v) {
    int16_t w = (int16_t)v;
    put_byte(a, TAG_INT16);
    put(a, &w, sizeof w);
  } else if (v == (int32_t)v) {
    int32_t w = (int32_t)v;
    put_byte(a, TAG_INT32);
    put(a, &w, sizeof w);
  } else {
    put_byte(a, TAG_INT64);
    put(a, &v, sizeof v);
  }
}

/* The bytes of a text or blob. Text of a UTF-16 database is converted; blob access spares text its terminator. */
static const void *bytes_of(sqlite3_value *v, int type, uint32_t *n) {
  const void *p;
  if (type == SQLITE_TEXT && sqlite3_value_encoding(v) != SQLITE_UTF8) {
    p = sqlite3_value_text(v);
  } else {
    p = sqlite3_value_blob(v);
  }
  *n = (uint32_t)sqlite3_value_bytes(v);
  return p;
}

static int put_bytes(arena *a, sqlite3_value *v, int type) {
  uint32_t n;
  const void *p = bytes_of(v, type, &n);
  if (!p && n > 0) return WIPPY_LOST_NO_MEMORY;
  if (!wippy_arena_reserve(a, (uint64_t)n + FIXED)) return WIPPY_LOST_NO_MEMORY;
  uint8_t tag = type == SQLITE_TEXT ? TAG_TEXT8 : TAG_BLOB8;
  if (n < 256) {
    put_byte(a, tag);
    put_byte(a, (uint8_t)n);
  } else {
    put_byte(a, tag + 1);
    put(a, &n, sizeof n);
  }
  if (n > 0) put(a, p, n);
  return 0;
}

static int put_value(arena *a, sqlite3_value *v) {
  if (!wippy_arena_reserve(a, FIXED)) return WIPPY_LOST_NO_MEMORY;
  int type = sqlite3_value_type(v);
  switch (type) {
    case SQLITE_INTEGER:
      put_int(a, sqlite3_value_int64(v));
      return 0;
    case SQLITE_FLOAT: {
      double d = sqlite3_value_double(v);
      put_byte(a, TAG_REAL);
      put(a, &d, sizeof d);
      return 0;
    }
    case SQLITE_TEXT:
    case SQLITE_BLOB:
      return put_bytes(a, v, type);
    default:
      put_byte(a, TAG_NULL);
      return 0;
  }
}

static int put_tag(wippy_capture *c, uint8_t tag) {
  if (!wippy_arena_reserve(&c->arena, FIXED)) return WIPPY_LOST_NO_MEMORY;
  put_byte(&c->arena, tag);
  return 0;
}

static int put_column(wippy_capture *c, int i, int (*get)(sqlite3*, int, sqlite3_value**)) {
  sqlite3_value *v = NULL;
  int rc = get(c->db, i, &v);
  if (rc == SQLITE_OK && v) return put_value(&c->arena, v);
  return rc == SQLITE_RANGE ? put_tag(c, TAG_ABSENT) : WIPPY_LOST_READ_ERROR;
}

/*
** A new value of an insert. INSERT … SELECT * between tables of one shape copies records as they are, and one that is
** older than an added column ends before it. SQLite then shows its one static NULL, where the row has the default.
*/
static int put_inserted(wippy_capture *c, int i) {
  sqlite3_value *v = NULL;
  int rc = sqlite3_preupdate_new(c->db, i, &v);
  if (rc == SQLITE_OK && v && v == sqlite3_column_value(NULL, 0)) return put_tag(c, TAG_DEFAULT);
  if (rc == SQLITE_OK && v) return put_value(&c->arena, v);
  return rc == SQLITE_RANGE ? put_tag(c, TAG_ABSENT) : WIPPY_LOST_READ_ERROR;
}

/*
** Replaces the new value that was just written at offset from by TAG_SAME if it is the old one and that saves
** anything. An absent value stays: it is of no stored column.
*/
static void fold_same(wippy_capture *c, int i, uint64_t from) {
  arena *a = &c->arena;
  uint64_t n = a->used - from;
  uint64_t old = c->columns[i];
  if (n == 1 || c->columns[i + 1] - old != n || memcmp(a->bytes + from, a->bytes + old, n) != 0) return;
  a->used = from;
  put_byte(a, TAG_SAME);
}

static int put_old(wippy_capture *c, int n) {
  if (n + 1 > c->columns_size) {
    uint64_t *columns = realloc(c->columns, ((size_t)n + 1) * sizeof *columns);
    if (!columns) return WIPPY_LOST_NO_MEMORY;
    c->columns = columns;
    c->columns_size = n + 1;
  }
  for (int i = 0; i < n; i++) {
    c->columns[i] = c->arena.used;
    int why = put_column(c, i, sqlite3_preupdate_old);
    if (why) return why;
  }
  c->columns[n] = c->arena.used;
  return 0;
}

static int put_new(wippy_capture *c, int n, int update) {
  for (int i = 0; i < n; i++) {
    uint64_t from = c->arena.used;
    int why = update ? put_column(c, i, sqlite3_preupdate_new) : put_inserted(c, i);
    if (why) return why;
    if (update) fold_same(c, i, from);
  }
  return 0;
}

/* Leaves room for the head of a record, which begins at the offset that finish_record is given. */
static int begin_record(arena *a) {
  if (!wippy_arena_reserve(a, HEADER + 2 * sizeof(sqlite3_int64))) return WIPPY_LOST_NO_MEMORY;
  a->used += HEADER;
  return 0;
}

/* Writes the head of a record, or takes the record back if it failed. */
static int finish_record(arena *a, uint64_t start, int op, int action, int n, uint32_t slot, int why) {
  if (why) {
    a->used = start;
    return why;
  }
  uint32_t length = (uint32_t)(a->used - start);
  uint16_t columns = (uint16_t)n;
  uint8_t *head = a->bytes + start;
  memcpy(head, &length, sizeof length);
  head[4] = (uint8_t)op;
  head[5] = (uint8_t)action;
  memcpy(head + 6, &columns, sizeof columns);
  memcpy(head + 8, &slot, sizeof slot);
  return 0;
}

static int put_record(wippy_capture *c, int op, uint32_t slot, sqlite3_int64 old, sqlite3_int64 new) {
  arena *a = &c->arena;
  int n = sqlite3_preupdate_count(c->db);
  uint64_t start = a->used;
  int why = begin_record(a);
  if (why) return why;
  if (op != SQLITE_INSERT) put(a, &old, sizeof old);
  if (op != SQLITE_DELETE) put(a, &new, sizeof new);
  if (op != SQLITE_INSERT) why = put_old(c, n);
  if (!why && op != SQLITE_DELETE) why = put_new(c, n, op == SQLITE_UPDATE);
  int record = op == SQLITE_INSERT ? RECORD_INSERT : op == SQLITE_UPDATE ? RECORD_UPDATE : RECORD_DELETE;
  return finish_record(a, start, record, 0, n, slot, why);
}

int wippy_record_row(wippy_capture *c, sqlite3_stmt *row) {
  arena *a = &c->arena;
  int n = sqlite3_column_count(row);
  uint64_t start = a->used;
  sqlite3_int64 none = 0;
  int why = begin_record(a);
  if (why) return why;
  put(a, &none, sizeof none);
  for (int i = 0; i < n && !why; i++) why = put_value(a, sqlite3_column_value(row, i));
  return finish_record(a, start, RECORD_INSERT, 0, n, 0, why);
}

int wippy_record_insert(wippy_capture *c, uint32_t slot, const wippy_rows *rows) {
  arena *a = &c->arena;
  int first = rows->rowids ? 0 : 1;
  int n = sqlite3_column_count(rows->rows) - first;
  uint64_t start = a->used;
  sqlite3_int64 rowid = sqlite3_column_int64(rows->rowids ? rows->rowids : rows->rows, 0);
  int why = begin_record(a);
  if (why) return why;
  put(a, &rowid, sizeof rowid);
  for (int i = 0; i < n && !why; i++) why = put_value(a, sqlite3_column_value(rows->rows, i + first));
  return finish_record(a, start, RECORD_INSERT, 0, n, slot, why);
}

int wippy_record_truncate(wippy_capture *c, uint32_t slot) {
  uint64_t start = c->arena.used;
  return finish_record(&c->arena, start, RECORD_TRUNCATE, 0, 0, slot, begin_record(&c->arena));
}

static int put_text(arena *a, const char *text) {
  uint32_t n = text ? (uint32_t)strlen(text) : 0;
  if (!wippy_arena_reserve(a, (uint64_t)n + FIXED)) return WIPPY_LOST_NO_MEMORY;
  if (!text) {
    put_byte(a, TAG_NULL);
    return 0;
  }
  put_byte(a, TAG_TEXT32);
  put(a, &n, sizeof n);
  put(a, text, n);
  return 0;
}

int wippy_record_schema(wippy_capture *c, uint32_t slot, int action, const char *text, const char *from) {
  arena *a = &c->arena;
  uint64_t start = a->used;
  int why = begin_record(a);
  if (why) return why;
  why = put_text(a, text);
  if (!why) why = put_text(a, from);
  return finish_record(a, start, RECORD_SCHEMA, action, 0, slot, why);
}

/* Makes room for another record. If there is none, the open transaction is lost from here on. */
int wippy_may_record(wippy_capture *c) {
  if (c->lost) return 0;
  if (wippy_arena_length(&c->arena) - c->begin > c->arena.limit) {
    c->lost = WIPPY_LOST_TOO_LARGE;
  } else if (c->arena.used > c->arena.memory && wippy_arena_spill(&c->arena) < 0) {
    c->lost = WIPPY_LOST_SPILL;
  }
  return !c->lost;
}

/* https://www.sqlite.org/c3ref/preupdate_blobwrite.html */
void wippy_preupdate(void *arg, sqlite3 *db, int op, const char *schema, const char *name, sqlite3_int64 old,
                     sqlite3_int64 new) {
  wippy_capture *c = arg;
  if (!c->active || strcmp(schema, "main") != 0) return;
  if (c->committing) wippy_seal(c);
  if (c->lost) return;
  uint32_t slot;
  wippy_table *t = wippy_table_of(c, name, &slot);
  if (!t) {
    c->lost = WIPPY_LOST_NO_MEMORY;
    return;
  }
  if (!t->wanted) return;
  if (op == SQLITE_DELETE && sqlite3_preupdate_blobwrite(db) >= 0) {
    c->lost = WIPPY_LOST_BLOB_WRITE;
    return;
  }
  if (!c->enlisted && !sqlite3_get_autocommit(db)) {
    c->lost = WIPPY_LOST_NOT_ENLISTED;
    return;
  }
  if (!wippy_may_record(c)) return;
  c->lost = put_record(c, op, slot, old, new);
  if (!c->lost) c->lost = wippy_note(c, slot, op == SQLITE_INSERT ? RECORD_INSERT : op == SQLITE_UPDATE ? RECORD_UPDATE : RECORD_DELETE);
}
