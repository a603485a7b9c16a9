/* Reads the file of a database and its wal-index through an open connection, see files.c. */
#ifndef WIPPY_FILES_H
#define WIPPY_FILES_H

#include <stdint.h>

typedef struct sqlite3 sqlite3;

/* The header of a wal-index, twice, and what follows it about checkpoints: https://www.sqlite.org/walformat.html. */
enum { WIPPY_WALINDEX_HEADER = 136 };

/* Returns 0 if the connection has mapped no wal-index. */
int wippy_walindex_header(sqlite3 *db, void *header);

/* Reads n bytes of the main database file, past SQLite's cache. Returns 0 if there are fewer. */
int wippy_file_read(sqlite3 *db, void *buffer, int n, int64_t offset);

#endif
