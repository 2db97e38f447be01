/* The SQLite store on a disk that loses power at every sync in turn. The disk is a VFS in memory that knows of each
 * file what is safe, and which writes came after the last sync; when the power goes, each of those writes is kept,
 * lost, or torn between its sectors, whatever the order they were made in. */
#include "ledger_script.h"

#include <sqlite3.h>

#define FILES  16
#define SECTOR 512u
#define REGION 32768u

typedef struct change { /* a write; or, with data NULL, a truncation to offset */
  uint8_t *data;
  uint64_t offset;
  size_t len;
} change;

typedef struct disk_file {
  char name[160];
  uint8_t *data, *safe; /* as the process sees it; as it is without power */
  size_t len, cap, safe_len;
  int exists, safe_exists;
  change *changes;
  size_t count;
  void *region[8]; /* shared memory, lost with the power */
} disk_file;

typedef enum cut { KEEP_NONE, KEEP_ALL, KEEP_SOME, TEAR, CUTS } cut;

static struct disk {
  disk_file file[FILES];
  uint64_t syncs, cut_at; /* the power goes at sync cut_at; 0: never */
  cut how;
  uint64_t random;
  int dead;
  unsigned temporaries;
  sqlite3_vfs *host;
} disk;

typedef struct open_file {
  sqlite3_file base;
  disk_file *file;
  int temporary; /* goes when it is closed */
} open_file;

static uint64_t draw(void) {
  disk.random ^= disk.random << 13;
  disk.random ^= disk.random >> 7;
  disk.random ^= disk.random << 17;
  return disk.random;
}

/* ---- what a file has been through ------------------------------------------------------------------ */

static void resize(uint8_t **data, size_t *len, size_t want) {
  uint8_t *grown = realloc(*data, want ? want : 1);
  assert_non_null(grown);
  if (want > *len) memset(grown + *len, 0, want - *len);
  *data = grown, *len = want;
}

static void put_at(uint8_t **data, size_t *len, uint64_t offset, const uint8_t *from, size_t n) {
  if (offset + n > *len) resize(data, len, (size_t)offset + n);
  memcpy(*data + offset, from, n);
}

static void note_change(disk_file *f, const void *data, uint64_t offset, size_t len) {
  f->changes = realloc(f->changes, (f->count + 1) * sizeof *f->changes);
  assert_non_null(f->changes);
  change c = {NULL, offset, len};
  if (data) memcpy(c.data = malloc(len), data, len);
  f->changes[f->count++] = c;
}

static void forget_changes(disk_file *f) {
  for (size_t i = 0; i < f->count; i++) free(f->changes[i].data);
  free(f->changes);
  f->changes = NULL, f->count = 0;
}

static void make_safe(disk_file *f) {
  for (size_t i = 0; i < f->count; i++) {
    const change *c = &f->changes[i];
    if (c->data)
      put_at(&f->safe, &f->safe_len, c->offset, c->data, c->len);
    else
      resize(&f->safe, &f->safe_len, (size_t)c->offset);
  }
  assert_int_equal(f->safe_len, f->len);
  f->safe_exists = f->exists;
  forget_changes(f);
}

static int is_kept(void) {
  return disk.how == KEEP_ALL || (disk.how != KEEP_NONE && draw() % 2);
}

/* What of the changes reaches the safe side when the power goes. */
static void lose(disk_file *f) {
  for (size_t i = 0; i < f->count; i++) {
    const change *c = &f->changes[i];
    if (!c->data) {
      if (is_kept()) resize(&f->safe, &f->safe_len, (size_t)c->offset);
      continue;
    }
    int whole = is_kept();
    for (size_t at = 0; at < c->len;) {
      size_t n = PLR_MIN(SECTOR - (size_t)((c->offset + at) % SECTOR), c->len - at);
      if (disk.how == TEAR ? is_kept() : whole)
        put_at(&f->safe, &f->safe_len, c->offset + at, c->data + at, n);
      at += n;
    }
  }
  if (f->exists && !f->safe_exists && (f->safe_len || is_kept())) f->safe_exists = 1;
  if (!f->safe_exists) f->safe_len = 0;
}

static void power_off(void) {
  disk.dead = 1;
  for (int i = 0; i < FILES; i++) lose(&disk.file[i]);
}

static void power_on(void) {
  for (int i = 0; i < FILES; i++) {
    disk_file *f = &disk.file[i];
    forget_changes(f);
    resize(&f->data, &f->len, f->safe_len);
    if (f->len) memcpy(f->data, f->safe, f->len);
    f->exists = f->safe_exists;
    for (size_t r = 0; r < 8; r++) free(f->region[r]), f->region[r] = NULL;
  }
  disk.dead = 0;
  disk.cut_at = 0;
}

static void clear_file(disk_file *f) {
  forget_changes(f);
  free(f->data);
  free(f->safe);
  for (size_t r = 0; r < 8; r++) free(f->region[r]);
  memset(f, 0, sizeof *f);
}

static void disk_clear(void) {
  for (int i = 0; i < FILES; i++) clear_file(&disk.file[i]);
  disk.syncs = disk.cut_at = 0;
  disk.dead = 0;
}

static disk_file *file_of(const char *name, int make) {
  for (int i = 0; i < FILES; i++)
    if (strcmp(disk.file[i].name, name) == 0) return &disk.file[i];
  for (int i = 0; make && i < FILES; i++)
    if (!disk.file[i].name[0]) {
      snprintf(disk.file[i].name, sizeof disk.file[i].name, "%s", name);
      return &disk.file[i];
    }
  return NULL;
}

/* ---- sqlite3_io_methods ------------------------------------------------------------------------------ */

static disk_file *of(sqlite3_file *file) {
  return ((open_file *)(void *)file)->file;
}

static int io_close(sqlite3_file *file) {
  if (((open_file *)(void *)file)->temporary) clear_file(of(file));
  return SQLITE_OK;
}

static int io_read(sqlite3_file *file, void *out, int n, sqlite3_int64 offset) {
  const disk_file *f = of(file);
  size_t have = (uint64_t)offset < f->len ? PLR_MIN((size_t)n, f->len - (size_t)offset) : 0;
  if (disk.dead) return SQLITE_IOERR_READ;
  if (have) memcpy(out, f->data + offset, have);
  if (have == (size_t)n) return SQLITE_OK;
  memset((uint8_t *)out + have, 0, (size_t)n - have);
  return SQLITE_IOERR_SHORT_READ;
}

static int io_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 offset) {
  disk_file *f = of(file);
  if (disk.dead) return SQLITE_IOERR_WRITE;
  put_at(&f->data, &f->len, (uint64_t)offset, data, (size_t)n);
  note_change(f, data, (uint64_t)offset, (size_t)n);
  return SQLITE_OK;
}

static int io_truncate(sqlite3_file *file, sqlite3_int64 size) {
  disk_file *f = of(file);
  if (disk.dead) return SQLITE_IOERR_TRUNCATE;
  resize(&f->data, &f->len, (size_t)size);
  note_change(f, NULL, (uint64_t)size, 0);
  return SQLITE_OK;
}

static int io_sync(sqlite3_file *file, int flags) {
  (void)flags;
  if (disk.dead) return SQLITE_IOERR_FSYNC;
  if (++disk.syncs == disk.cut_at) {
    power_off();
    return SQLITE_IOERR_FSYNC;
  }
  make_safe(of(file));
  return SQLITE_OK;
}

static int io_size(sqlite3_file *file, sqlite3_int64 *size) {
  *size = (sqlite3_int64)of(file)->len;
  return disk.dead ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int io_lock(sqlite3_file *file, int level) {
  (void)file, (void)level;
  return disk.dead ? SQLITE_IOERR_LOCK : SQLITE_OK;
}

static int io_unlock(sqlite3_file *file, int level) {
  (void)file, (void)level;
  return SQLITE_OK;
}

static int io_reserved(sqlite3_file *file, int *held) {
  (void)file;
  *held = 0;
  return SQLITE_OK;
}

static int io_control(sqlite3_file *file, int op, void *arg) {
  (void)file, (void)op, (void)arg;
  return SQLITE_NOTFOUND;
}

static int io_sector(sqlite3_file *file) {
  (void)file;
  return SECTOR;
}

static int io_device(sqlite3_file *file) {
  (void)file;
  return 0; /* nothing is promised: no atomic, no ordered writes, no safe append */
}

static int io_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out) {
  disk_file *f = of(file);
  assert_true(region < 8 && size == (int)REGION);
  if (!f->region[region] && extend) f->region[region] = calloc(1, REGION);
  *out = f->region[region];
  return SQLITE_OK;
}

static int io_shm_lock(sqlite3_file *file, int offset, int n, int flags) {
  (void)file, (void)offset, (void)n, (void)flags;
  return disk.dead ? SQLITE_IOERR_SHMLOCK : SQLITE_OK;
}

static void io_shm_barrier(sqlite3_file *file) {
  (void)file;
}

static int io_shm_unmap(sqlite3_file *file, int gone) {
  disk_file *f = of(file);
  for (size_t r = 0; gone && r < 8; r++) free(f->region[r]), f->region[r] = NULL;
  return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = io_close,
    .xRead = io_read,
    .xWrite = io_write,
    .xTruncate = io_truncate,
    .xSync = io_sync,
    .xFileSize = io_size,
    .xLock = io_lock,
    .xUnlock = io_unlock,
    .xCheckReservedLock = io_reserved,
    .xFileControl = io_control,
    .xSectorSize = io_sector,
    .xDeviceCharacteristics = io_device,
    .xShmMap = io_shm_map,
    .xShmLock = io_shm_lock,
    .xShmBarrier = io_shm_barrier,
    .xShmUnmap = io_shm_unmap,
};

/* ---- sqlite3_vfs --------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
  open_file *f = (open_file *)(void *)file;
  (void)vfs;
  memset(f, 0, sizeof *f);
  char unnamed[32];
  if (disk.dead) return SQLITE_CANTOPEN;
  if (!name) snprintf(unnamed, sizeof unnamed, "temporary %u", disk.temporaries++);
  f->temporary = !name;
  f->file = file_of(name ? name : unnamed, flags & SQLITE_OPEN_CREATE);
  if (!f->file || (!f->file->exists && !(flags & SQLITE_OPEN_CREATE))) return SQLITE_CANTOPEN;
  f->file->exists = 1;
  f->base.pMethods = &methods;
  if (out) *out = flags;
  return SQLITE_OK;
}

/* A removal lasts at once when the folder is synced with it, and may or may not when it is not. */
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder) {
  (void)vfs;
  disk_file *f = file_of(name, 0);
  if (disk.dead) return SQLITE_IOERR_DELETE;
  if (!f || !f->exists) return SQLITE_IOERR_DELETE_NOENT;
  f->exists = 0;
  f->len = 0;
  forget_changes(f);
  if (sync_folder || is_kept()) f->safe_exists = 0, f->safe_len = 0;
  if (f->safe_len) note_change(f, NULL, 0, 0); /* should it be made anew */
  return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  (void)vfs, (void)flags;
  const disk_file *f = file_of(name, 0);
  *out = f && f->exists &&
         (f->len > 0 || flags != SQLITE_ACCESS_EXISTS || strstr(name, "-wal") == NULL);
  return disk.dead ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int n, char *out) {
  (void)vfs;
  snprintf(out, (size_t)n, "%s", name);
  return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
  for (int i = 0; i < n; i++) out[i] = (char)draw();
  return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
  (void)vfs;
  return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out) {
  (void)vfs;
  return disk.host->xCurrentTimeInt64(disk.host, out);
}

static int vfs_error(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs, (void)n, (void)out;
  return 0;
}

static sqlite3_vfs power_vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(open_file),
    .mxPathname = 160,
    .zName = "power",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_path,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTimeInt64 = vfs_time,
    .xGetLastError = vfs_error,
};

/* ---- the test ------------------------------------------------------------------------------------------ */

static sqlite3 *connection[2]; /* of the last open: the ledger's, and its lock's */
static unsigned connections;

static int note_connection(sqlite3 *db, const char **message, const void *nothing) {
  (void)message, (void)nothing;
  connection[connections++ % 2] = db;
  return SQLITE_OK;
}

/* The write-ahead log starts over after 30 pages instead of 1,000, so that short lives have that too. */
static plr_status open_power(kit *k, plr_ledger **out) {
  connections = 0;
  plr_status st = script_open(k, "power.db", out, NULL);
  for (unsigned i = 0; st == PLR_OK && i < connections; i++)
    sqlite3_wal_autocheckpoint(connection[i % 2], 30);
  return st;
}

/* One life with the power going at sync `at`, and again at sync `again` of the recovery; 0 when the script was through
 * before. */
static int one_life(const script *s, uint64_t at, uint64_t again, cut how, uint64_t seed) {
  kit k = s->made;
  static promised p;
  plr_ledger *l;
  disk_clear();
  memset(&p, 0, sizeof p);
  p.begun = 1;
  disk.cut_at = at, disk.how = how, disk.random = seed | 1;
  plr_status st = open_power(&k, &l);
  if (st == PLR_OK) {
    p.entries = 1;
    st = script_play(s, l, &p);
    if (st == PLR_OK) st = plr_ledger_compact(l, NULL);
    if (!disk.dead) assert_int_equal(st, PLR_OK);
    plr_ledger_destroy(l); /* checkpoints, and may be cut short as well */
  }
  if (!disk.dead) {
    assert_int_equal(p.entries, s->count);
    power_off(); /* everything acknowledged was safe all the same */
    at = 0;
  }
  power_on();
  if (again) {
    disk.syncs = 0, disk.cut_at = again;
    if (open_power(&k, &l) == PLR_OK) {
      (void)script_play(s, l, &p);
      plr_ledger_destroy(l);
    }
    if (!disk.dead) power_off();
    power_on();
  }
  st = open_power(&k, &l);
  if (st != PLR_OK) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    (void)script_open(&k, "power.db", &l, &err);
    fail_msg("sync %llu, %d: %s: %s", (unsigned long long)at, (int)how, err.where, err.message);
  }
  script_check(s, l, &p);
  assert_int_equal(script_play(s, l, &p), PLR_OK); /* and it goes on to the same end */
  script_check(s, l, &p);
  same_state(l, s->made.ledger);
  plr_ledger_destroy(l);
  return at != 0;
}

static void every_sync(void **state) {
  (void)state;
  static script s;
  int lives = 0;
  script_make(&s, 3, 12, 2);
  disk.host = sqlite3_vfs_find(NULL);
  assert_int_equal(sqlite3_vfs_register(&power_vfs, 1), SQLITE_OK);
  assert_int_equal(sqlite3_auto_extension((void (*)(void))note_connection), SQLITE_OK);
  int full = full_test();
  uint64_t at = 1;
  for (int more = 1; more; at++) {
    for (int how = 0; how < (int)CUTS; how++)
      for (uint64_t seed = 1; seed <= (full && how >= KEEP_SOME ? 25u : 1u); seed++, lives++)
        more = one_life(&s, at, 0, (cut)how, seed * 0x9e3779b97f4a7c15u + at);
    if (at % 5 == 0) one_life(&s, at, 1 + at % 4, TEAR, at * 77), lives++;
  }
  printf("%d lives, %llu syncs\n", lives, (unsigned long long)at - 2);
  assert_true(at > 40);
  disk_clear();
  sqlite3_reset_auto_extension();
  sqlite3_vfs_register(disk.host, 1);
  sqlite3_vfs_unregister(&power_vfs);
  script_free(&s);
}

int main(void) {
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_sync)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
