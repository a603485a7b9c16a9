/* Decides which statements a connection prepares: https://www.sqlite.org/c3ref/set_authorizer.html. */
#ifndef WIPPY_AUTHORIZE_H
#define WIPPY_AUTHORIZE_H

typedef struct sqlite3 sqlite3;
typedef struct wippy_authorizer wippy_authorizer;

/* What may be allowed, a bit each. */
enum {
  WIPPY_FILES = 1,       /* statements that reach other files */
  WIPPY_SETTINGS = 2,    /* pragmas that concern the whole connection or program */
  WIPPY_SCHEMA = 4,      /* pragmas by which the schema can be written */
  WIPPY_CHECKPOINT = 8,  /* changes of the table of checkpoints */
  WIPPY_EXTENSIONS = 16  /* code of other files */
};

/* Denies all that is not allowed. NULL if memory is short. */
wippy_authorizer *wippy_authorizer_open(sqlite3 *db, int allowed);

/* Why the last statement was denied, one of the bits, 0 if none was since the last call; name is then the pragma. */
int wippy_authorizer_denied(wippy_authorizer*, const char **name);

/* While it is suspended, all is allowed. */
void wippy_authorizer_suspend(wippy_authorizer*, int suspended);

/* Called before the connection closes. */
void wippy_authorizer_close(wippy_authorizer*);

#endif
