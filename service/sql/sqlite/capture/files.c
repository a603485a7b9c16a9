/*
** Opening the file or its -shm a second time and closing it again would drop every lock that SQLite holds on it in this
** process (https://www.sqlite.org/howtocorrupt.html, 2.2). So both are read through the handles that SQLite has open.
*/
#include "files.h"

#include "sqlite_abi.h"

enum { WALINDEX_REGION = 32768 };

static sqlite3_file *file_of(sqlite3 *db) {
  sqlite3_file *file = 0;
  if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file || !file->pMethods) return 0;
  return file;
}

int wippy_walindex_header(sqlite3 *db, void *header) {
  sqlite3_file *file = file_of(db);
  volatile void *region = 0;
  if (!file || file->pMethods->iVersion < 2 || !file->pMethods->xShmMap) return 0;
  if (file->pMethods->xShmMap(file, 0, WALINDEX_REGION, 0, &region) != SQLITE_OK || !region) return 0;
  const volatile uint32_t *from = (const volatile uint32_t*)region;
  uint32_t *to = (uint32_t*)header;
  for (int i = 0; i < WIPPY_WALINDEX_HEADER / 4; i++) to[i] = from[i];
  return 1;
}

int wippy_file_read(sqlite3 *db, void *buffer, int n, int64_t offset) {
  sqlite3_file *file = file_of(db);
  return file && file->pMethods->xRead(file, buffer, n, offset) == SQLITE_OK;
}
