/* Reads the rows of a query as records of inserted rows, see row.c. */
#ifndef WIPPY_SCAN_H
#define WIPPY_SCAN_H

#include <stdint.h>

typedef struct sqlite3 sqlite3;
typedef struct wippy_scan wippy_scan;

/* The queries are those of wippy_rows. NULL if memory is short; a query may be wrong, see wippy_scan_error. */
wippy_scan *wippy_scan_open(sqlite3 *db, const char *query, const char *rowids);

/* Reads rows until there are enough bytes of records, which are valid until the next call. 0 bytes is the end. */
const void *wippy_scan_next(wippy_scan*, uint64_t enough, uint64_t *n);

/* Why the scan has ended early, NULL if it has not. */
const char *wippy_scan_error(const wippy_scan*);

void wippy_scan_close(wippy_scan*);

#endif
