/*
** The part of SQLite's public C interface that capture uses. The library itself is linked into the program by
** the SQL driver, so the prototypes are weak: a program built without the preupdate hook leaves the missing
** ones NULL, which wippy_capture_available() reports, instead of failing to link.
** See https://www.sqlite.org/c3ref/intro.html and https://www.sqlite.org/vtab.html.
*/
#ifndef WIPPY_SQLITE_ABI_H
#define WIPPY_SQLITE_ABI_H

#define WEAK __attribute__((weak))

typedef long long int sqlite3_int64;
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_value sqlite3_value;
typedef struct sqlite3_context sqlite3_context;
typedef struct sqlite3_mutex sqlite3_mutex;
typedef struct sqlite3_index_info sqlite3_index_info;
typedef struct sqlite3_module sqlite3_module;
typedef struct sqlite3_vtab sqlite3_vtab;
typedef struct sqlite3_vtab_cursor sqlite3_vtab_cursor;

struct sqlite3_vtab {
  const sqlite3_module *pModule;
  int nRef;
  char *zErrMsg;
};

struct sqlite3_vtab_cursor {
  sqlite3_vtab *pVtab;
};

struct sqlite3_module {
  int iVersion;
  int (*xCreate)(sqlite3*, void*, int, const char *const*, sqlite3_vtab**, char**);
  int (*xConnect)(sqlite3*, void*, int, const char *const*, sqlite3_vtab**, char**);
  int (*xBestIndex)(sqlite3_vtab*, sqlite3_index_info*);
  int (*xDisconnect)(sqlite3_vtab*);
  int (*xDestroy)(sqlite3_vtab*);
  int (*xOpen)(sqlite3_vtab*, sqlite3_vtab_cursor**);
  int (*xClose)(sqlite3_vtab_cursor*);
  int (*xFilter)(sqlite3_vtab_cursor*, int, const char*, int, sqlite3_value**);
  int (*xNext)(sqlite3_vtab_cursor*);
  int (*xEof)(sqlite3_vtab_cursor*);
  int (*xColumn)(sqlite3_vtab_cursor*, sqlite3_context*, int);
  int (*xRowid)(sqlite3_vtab_cursor*, sqlite3_int64*);
  int (*xUpdate)(sqlite3_vtab*, int, sqlite3_value**, sqlite3_int64*);
  int (*xBegin)(sqlite3_vtab*);
  int (*xSync)(sqlite3_vtab*);
  int (*xCommit)(sqlite3_vtab*);
  int (*xRollback)(sqlite3_vtab*);
  int (*xFindFunction)(sqlite3_vtab*, int, const char*, void (**)(sqlite3_context*, int, sqlite3_value**), void**);
  int (*xRename)(sqlite3_vtab*, const char*);
  int (*xSavepoint)(sqlite3_vtab*, int);
  int (*xRelease)(sqlite3_vtab*, int);
  int (*xRollbackTo)(sqlite3_vtab*, int);
};

typedef struct sqlite3_file sqlite3_file;
typedef struct sqlite3_io_methods sqlite3_io_methods;

struct sqlite3_file {
  const sqlite3_io_methods *pMethods;
};

struct sqlite3_io_methods { /* https://www.sqlite.org/c3ref/io_methods.html */
  int iVersion;
  int (*xClose)(sqlite3_file*);
  int (*xRead)(sqlite3_file*, void*, int, sqlite3_int64);
  int (*xWrite)(sqlite3_file*, const void*, int, sqlite3_int64);
  int (*xTruncate)(sqlite3_file*, sqlite3_int64);
  int (*xSync)(sqlite3_file*, int);
  int (*xFileSize)(sqlite3_file*, sqlite3_int64*);
  int (*xLock)(sqlite3_file*, int);
  int (*xUnlock)(sqlite3_file*, int);
  int (*xCheckReservedLock)(sqlite3_file*, int*);
  int (*xFileControl)(sqlite3_file*, int, void*);
  int (*xSectorSize)(sqlite3_file*);
  int (*xDeviceCharacteristics)(sqlite3_file*);
  int (*xShmMap)(sqlite3_file*, int, int, int, void volatile**);
};

enum {
  SQLITE_OK = 0, SQLITE_ERROR = 1, SQLITE_NOMEM = 7, SQLITE_INTERRUPT = 9, SQLITE_RANGE = 25,
  SQLITE_ROW = 100, SQLITE_DONE = 101
};
enum { SQLITE_DELETE = 9, SQLITE_INSERT = 18, SQLITE_UPDATE = 23 };
enum { SQLITE_INTEGER = 1, SQLITE_FLOAT = 2, SQLITE_TEXT = 3, SQLITE_BLOB = 4, SQLITE_NULL = 5 };
enum { SQLITE_UTF8 = 1, SQLITE_INNOCUOUS = 0x200000 };
enum { SQLITE_TXN_WRITE = 2 };
enum { SQLITE_FCNTL_LOCKSTATE = 1, SQLITE_FCNTL_FILE_POINTER = 7, SQLITE_FCNTL_DATA_VERSION = 35 };
enum { SQLITE_LOCK_SHARED = 1 };
enum { SQLITE_CHECKPOINT_PASSIVE = 0 };

WEAK int sqlite3_compileoption_used(const char*);
WEAK void *sqlite3_preupdate_hook(sqlite3*,
    void (*)(void*, sqlite3*, int, char const*, char const*, sqlite3_int64, sqlite3_int64), void*);
WEAK int sqlite3_preupdate_old(sqlite3*, int, sqlite3_value**);
WEAK int sqlite3_preupdate_new(sqlite3*, int, sqlite3_value**);
WEAK int sqlite3_preupdate_count(sqlite3*);
WEAK int sqlite3_preupdate_blobwrite(sqlite3*);
WEAK void *sqlite3_commit_hook(sqlite3*, int (*)(void*), void*);
WEAK void *sqlite3_rollback_hook(sqlite3*, void (*)(void*), void*);
WEAK void *sqlite3_wal_hook(sqlite3*, int (*)(void*, sqlite3*, const char*, int), void*);
WEAK int sqlite3_wal_checkpoint_v2(sqlite3*, const char*, int, int*, int*);
WEAK int sqlite3_create_module_v2(sqlite3*, const char*, const sqlite3_module*, void*, void (*)(void*));
WEAK int sqlite3_declare_vtab(sqlite3*, const char*);
WEAK int sqlite3_prepare_v2(sqlite3*, const char*, int, sqlite3_stmt**, const char**);
WEAK int sqlite3_step(sqlite3_stmt*);
WEAK int sqlite3_reset(sqlite3_stmt*);
WEAK int sqlite3_finalize(sqlite3_stmt*);
WEAK int sqlite3_exec(sqlite3*, const char*, int (*)(void*, int, char**, char**), void*, char**);
WEAK sqlite3_stmt *sqlite3_next_stmt(sqlite3*, sqlite3_stmt*);
WEAK int sqlite3_stmt_busy(sqlite3_stmt*);
WEAK int sqlite3_stmt_readonly(sqlite3_stmt*);
WEAK int sqlite3_column_count(sqlite3_stmt*);
WEAK sqlite3_int64 sqlite3_column_int64(sqlite3_stmt*, int);
WEAK sqlite3_value *sqlite3_column_value(sqlite3_stmt*, int);
WEAK int sqlite3_get_autocommit(sqlite3*);
WEAK int sqlite3_txn_state(sqlite3*, const char*);
WEAK int sqlite3_file_control(sqlite3*, const char*, int, void*);
WEAK sqlite3_int64 sqlite3_changes64(sqlite3*);
WEAK sqlite3_int64 sqlite3_total_changes64(sqlite3*);
WEAK int sqlite3_create_function_v2(sqlite3*, const char*, int, int, void*,
    void (*)(sqlite3_context*, int, sqlite3_value**), void (*)(sqlite3_context*, int, sqlite3_value**),
    void (*)(sqlite3_context*), void (*)(void*));
WEAK void *sqlite3_user_data(sqlite3_context*);
WEAK void sqlite3_result_int64(sqlite3_context*, sqlite3_int64);
WEAK sqlite3_mutex *sqlite3_db_mutex(sqlite3*);
WEAK void sqlite3_mutex_enter(sqlite3_mutex*);
WEAK void sqlite3_mutex_leave(sqlite3_mutex*);
WEAK int sqlite3_mutex_try(sqlite3_mutex*);
WEAK const char *sqlite3_db_name(sqlite3*, int);
WEAK const char *sqlite3_db_filename(sqlite3*, const char*);
WEAK int sqlite3_stricmp(const char*, const char*);
WEAK int sqlite3_strnicmp(const char*, const char*, int);
WEAK int sqlite3_value_type(sqlite3_value*);
WEAK sqlite3_int64 sqlite3_value_int64(sqlite3_value*);
WEAK double sqlite3_value_double(sqlite3_value*);
WEAK const void *sqlite3_value_blob(sqlite3_value*);
WEAK const unsigned char *sqlite3_value_text(sqlite3_value*);
WEAK int sqlite3_value_bytes(sqlite3_value*);
WEAK int sqlite3_value_encoding(sqlite3_value*);

#endif
