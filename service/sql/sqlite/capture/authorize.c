#include <stdlib.h>
#include "authorize.h"
#include "internal.h"

/* https://www.sqlite.org/c3ref/c_alter_table.html; the codes of INSERT, UPDATE and DELETE are in sqlite_abi.h. */
enum {
  CREATE_INDEX = 1, CREATE_TABLE = 2, CREATE_TRIGGER = 7, CREATE_VIEW = 8, DROP_TABLE = 11, RUN_PRAGMA = 19, ATTACH = 24,
  ALTER_TABLE = 26, CREATE_VTABLE = 29, DROP_VTABLE = 30, CALL_FUNCTION = 31
};
enum { DENY = 1 };

WEAK int sqlite3_set_authorizer(sqlite3*,
    int (*)(void*, int, const char*, const char*, const char*, const char*), void*);

struct wippy_authorizer {
  sqlite3 *db;
  int allowed, denied, suspended;
  char name[64];
};

static int is_one_of(const char *name, const char *const *names) {
  for (; *names; names++) {
    if (sqlite3_stricmp(name, *names) == 0) return 1;
  }
  return 0;
}

static int is_main(const char *schema) { return !schema || sqlite3_stricmp(schema, "main") == 0; }

/* A pragma without a value only tells it. */
static int wants_by_pragma(const char *name, const char *value, const char *schema) {
  static const char *const program[] = {
    "hard_heap_limit", "soft_heap_limit", "temp_store_directory", "data_store_directory", "query_only", NULL};
  static const char *const file[] = {"journal_mode", "locking_mode", NULL};
  static const char *const writes_schema[] = {"writable_schema", "schema_version", NULL};
  if (!name || !value) return 0;
  if (is_one_of(name, program) || (is_main(schema) && is_one_of(name, file))) return WIPPY_SETTINGS;
  return is_one_of(name, writes_schema) ? WIPPY_SCHEMA : 0;
}

/* VACUUM attaches "", a temporary file, and VACUUM INTO the file that it writes. A name that is computed is not told. */
static int wants_by_attach(const char *file) {
  return file && (!*file || strcmp(file, ":memory:") == 0) ? 0 : WIPPY_FILES;
}

static int is_checkpoint(const char *table) { return table && sqlite3_stricmp(table, "wippy_cdc_offsets") == 0; }

/* Which bit an action needs, 0 for none. */
static int wants(int action, const char *a, const char *b, const char *schema) {
  switch (action) {
    case ATTACH:
      return wants_by_attach(a);
    case RUN_PRAGMA:
      return wants_by_pragma(a, b, schema);
    case CALL_FUNCTION:
      return b && sqlite3_stricmp(b, "load_extension") == 0 ? WIPPY_EXTENSIONS : 0;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case CREATE_TABLE:
    case CREATE_VIEW:
    case CREATE_VTABLE:
    case DROP_TABLE:
    case DROP_VTABLE:
      return is_main(schema) && is_checkpoint(a) ? WIPPY_CHECKPOINT : 0;
    case CREATE_INDEX:
    case CREATE_TRIGGER:
      return is_main(schema) && is_checkpoint(b) ? WIPPY_CHECKPOINT : 0;
    case ALTER_TABLE:
      return is_main(a) && is_checkpoint(b) ? WIPPY_CHECKPOINT : 0;
    default:
      return 0;
  }
}

static int authorize(void *arg, int action, const char *a, const char *b, const char *schema, const char *inside) {
  (void)inside;
  wippy_authorizer *r = arg;
  int bit = r->suspended ? 0 : wants(action, a, b, schema);
  if (!bit || (r->allowed & bit)) return SQLITE_OK;
  r->denied = bit;
  r->name[0] = 0;
  if (action == RUN_PRAGMA) strncat(r->name, a, sizeof r->name - 1);
  return DENY;
}

wippy_authorizer *wippy_authorizer_open(sqlite3 *db, int allowed) {
  wippy_authorizer *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->db = db;
  r->allowed = allowed;
  sqlite3_set_authorizer(db, authorize, r);
  return r;
}

int wippy_authorizer_denied(wippy_authorizer *r, const char **name) {
  int denied = r->denied;
  *name = r->name;
  r->denied = 0;
  return denied;
}

void wippy_authorizer_suspend(wippy_authorizer *r, int suspended) { r->suspended = suspended; }

void wippy_authorizer_close(wippy_authorizer *r) {
  sqlite3_set_authorizer(r->db, NULL, NULL);
  free(r);
}
