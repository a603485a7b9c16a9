/* Reads all rows of a short query at once, which takes one call where the driver takes several for each value. */
#ifndef WIPPY_QUERY_H
#define WIPPY_QUERY_H

#include <stdint.h>

typedef struct sqlite3 sqlite3;

typedef struct wippy_result {
  void *rows;          /* records of inserted rows, see row.c, to be freed by the caller */
  uint64_t length;
  int code;            /* extended; SQLITE_OK if all rows were read */
  const char *message; /* valid until the connection is used again */
} wippy_result;

wippy_result wippy_query(sqlite3 *db, const char *query);

#endif
