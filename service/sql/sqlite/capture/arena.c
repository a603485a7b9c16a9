#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "internal.h"

enum { FIRST_SIZE = 64 << 10, KEPT_SIZE = 4 << 20 };

uint64_t wippy_arena_length(const arena *a) { return a->spilled + a->used; }

int wippy_arena_grow(arena *a, uint64_t n) {
  uint64_t size = a->size ? a->size : FIRST_SIZE;
  while (size - a->used < n) size *= 2;
  uint8_t *bytes = realloc(a->bytes, size);
  if (!bytes) return 0;
  a->bytes = bytes;
  a->size = size;
  return 1;
}

/* Drops everything from offset on. */
void wippy_arena_cut(arena *a, uint64_t offset) {
  if (offset >= a->spilled) {
    a->used = offset - a->spilled;
  } else {
    a->spilled = offset; /* the file keeps its tail; it is overwritten or never read */
    a->used = 0;
  }
}

static int open_unlinked(const char *dir) {
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/wippy-capture-XXXXXX", dir);
  if (n < 0 || (size_t)n >= sizeof path) return -1;
  int fd = mkstemp(path);
  if (fd >= 0) {
    unlink(path);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return fd;
}

/* Moves the memory part to the file. Called between records only. */
int wippy_arena_spill(arena *a) {
  if (a->fd < 0) a->fd = open_unlinked(a->spill_dir);
  if (a->fd < 0) return -1;
  for (uint64_t done = 0; done < a->used;) {
    ssize_t n = pwrite(a->fd, a->bytes + done, a->used - done, (off_t)(a->spilled + done));
    if (n <= 0) return -1;
    done += (uint64_t)n;
  }
  a->spilled += a->used;
  a->used = 0;
  return 0;
}

void wippy_arena_reset(arena *a) {
  if (a->fd >= 0) close(a->fd);
  a->fd = -1;
  a->spilled = a->used = 0;
  if (a->size > KEPT_SIZE) {
    free(a->bytes);
    a->bytes = NULL;
    a->size = 0;
  }
}

void wippy_arena_free(arena *a) {
  wippy_arena_reset(a);
  free(a->bytes);
  free(a->spill_dir);
}
