#include <stdlib.h>
#include "internal.h"

/* Tables are found by name; tables forgotten stay in the list, because records refer to them by slot. */

static uint32_t hash_of(const char *s) { /* FNV-1a */
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
  return h;
}

static int is_wanted(const wippy_capture *c, const char *name) {
  static const char *const own[] = {"wippy_cdc_offsets", "wippy_cdc_parked"};
  if (sqlite3_strnicmp(name, "sqlite_", 7) == 0) return 0;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (sqlite3_stricmp(name, own[i]) == 0) return 0;
  }
  if (c->all) return 1;
  for (int i = 0; i < c->nnames; i++) {
    if (sqlite3_stricmp(name, c->names[i]) == 0) return 1;
  }
  return 0;
}

int wippy_capture_wants(wippy_capture *c, const char *table) { return is_wanted(c, table); }

static void index_put(wippy_capture *c, uint32_t slot) {
  uint32_t mask = c->index_size - 1;
  uint32_t i = c->tables[slot].hash & mask;
  while (c->index[i]) i = (i + 1) & mask;
  c->index[i] = slot + 1;
}

static int grow(wippy_capture *c) {
  if (c->signals.tables == c->tables_size) {
    uint32_t size = c->tables_size ? 2 * c->tables_size : 16;
    wippy_table *tables = realloc(c->tables, size * sizeof *tables);
    if (!tables) return -1;
    c->tables = tables;
    c->tables_size = size;
  }
  uint32_t live = c->signals.tables + 1 - c->first_live;
  if (2 * live <= c->index_size) return 0;
  uint32_t size = c->index_size ? 2 * c->index_size : 32;
  uint32_t *index = calloc(size, sizeof *index);
  if (!index) return -1;
  free(c->index);
  c->index = index;
  c->index_size = size;
  for (uint32_t slot = c->first_live; slot < c->signals.tables; slot++) index_put(c, slot);
  return 0;
}

static wippy_table *add(wippy_capture *c, const char *name, uint32_t hash, uint32_t *slot) {
  char *copy = strdup(name);
  if (!copy || grow(c) < 0) {
    free(copy);
    return NULL;
  }
  *slot = c->last = c->signals.tables++;
  c->tables[*slot] = (wippy_table){.name = copy, .hash = hash, .wanted = is_wanted(c, name)};
  index_put(c, *slot);
  return &c->tables[*slot];
}

wippy_table *wippy_table_of(wippy_capture *c, const char *name, uint32_t *slot) {
  if (c->last >= c->first_live && c->last < c->signals.tables && strcmp(c->tables[c->last].name, name) == 0) {
    *slot = c->last;
    return &c->tables[c->last];
  }
  uint32_t hash = hash_of(name);
  if (c->index_size) {
    uint32_t mask = c->index_size - 1;
    for (uint32_t i = hash & mask; c->index[i]; i = (i + 1) & mask) {
      wippy_table *t = &c->tables[c->index[i] - 1];
      if (t->hash == hash && strcmp(t->name, name) == 0) {
        *slot = c->last = c->index[i] - 1;
        return t;
      }
    }
  }
  return add(c, name, hash, slot);
}

static int is_touched(const wippy_capture *c, uint32_t slot) {
  for (uint32_t i = 0; i < c->ntouched; i++) {
    if (c->touched[i].slot == slot) return 1;
  }
  return 0;
}

/* A table that was forgotten is not wanted any more unless there may be records of it. */
wippy_table wippy_capture_table(wippy_capture *c, uint32_t slot) {
  wippy_table t = c->tables[slot];
  t.wanted = t.wanted && (slot >= c->first_live || is_touched(c, slot));
  return t;
}

void wippy_capture_ignore(wippy_capture *c, uint32_t slot) { c->tables[slot].wanted = 0; }

/* Slots start again at 0 once there are so many: readers that know tables by slot have to forget what they know then. */
enum { MANY_SLOTS = 64 };

/* Makes the next row of every table take a new slot. Returns 1 if it is to be called again, because slots should start again and
** records refer to them. */
int wippy_capture_forget_tables(wippy_capture *c) {
  if (c->index_size) memset(c->index, 0, c->index_size * sizeof *c->index);
  c->first_live = c->signals.tables;
  if (c->signals.tables < MANY_SLOTS) return 0;
  if (wippy_arena_length(&c->arena) > 0) return 1;
  if (!c->ncommits) wippy_summary_reset(c); /* it names slots that are used again */
  for (uint32_t i = 0; i < c->signals.tables; i++) free(c->tables[i].name);
  c->signals.tables = c->first_live = c->last = 0;
  return 0;
}

static void free_names(wippy_capture *c) {
  for (int i = 0; i < c->nnames; i++) free(c->names[i]);
  free(c->names);
  c->names = NULL;
  c->nnames = 0;
}

int wippy_capture_filter(wippy_capture *c, int active, int all, const char *names, int n) {
  free_names(c);
  c->active = 0;
  c->names = n > 0 ? calloc((size_t)n, sizeof *c->names) : NULL;
  if (n > 0 && !c->names) return -1;
  for (; c->nnames < n; c->nnames++, names += strlen(names) + 1) {
    c->names[c->nnames] = strdup(names);
    if (!c->names[c->nnames]) return -1;
  }
  c->all = all;
  c->active = active;
  wippy_capture_forget_tables(c);
  return 0;
}
