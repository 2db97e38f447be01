#include "snapshots.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strbuf.h"

#define SUFFIX ".safetensors"

struct entry {
  uint64_t step;
  uint32_t stage;
};

struct list {
  struct entry *entry;
  size_t count;
};

void snapshot_path(char *path, size_t cap, const char *dir, uint32_t stage, uint64_t step) {
  snprintf(path, cap, "%s/stage-%u-%" PRIu64 SUFFIX, dir, stage, step);
}

static int newest_first(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  if (x->step != y->step) return x->step < y->step ? 1 : -1;
  return x->stage < y->stage ? -1 : x->stage > y->stage;
}

static struct list list_files(const char *dir) {
  struct list files = {NULL, 0};
  DIR *folder = opendir(dir);
  if (!folder) return files;
  for (struct dirent *item; (item = readdir(folder));) {
    struct entry e;
    int end = 0;
    if (sscanf(item->d_name, "stage-%" SCNu32 "-%" SCNu64 "%n", &e.stage, &e.step, &end) != 2)
      continue;
    if (strcmp(item->d_name + end, SUFFIX) != 0) continue;
    files.entry = must_realloc(files.entry, (files.count + 1) * sizeof *files.entry);
    files.entry[files.count++] = e;
  }
  closedir(folder);
  if (files.count) qsort(files.entry, files.count, sizeof *files.entry, newest_first);
  return files;
}

static void remove_file(const char *dir, const struct entry *e) {
  char path[1100];
  snapshot_path(path, sizeof path, dir, e->stage, e->step);
  unlink(path);
}

int snapshot_open(plr_context *ctx, const char *dir, uint64_t step, struct snapshot_files *out,
                  char *message, size_t message_cap) {
  struct list files = list_files(dir);
  int result = 0;
  *out = (struct snapshot_files){must_alloc(files.count + 1, sizeof *out->sources),
                                 must_alloc(files.count + 1, sizeof *out->paths), 0};
  for (size_t i = 0; i < files.count && result == 0; i++) {
    char *path = out->paths[out->count];
    plr_error err;
    if (files.entry[i].step != step) continue;
    plr_error_init(&err, sizeof err);
    snapshot_path(path, SNAPSHOT_PATH, dir, files.entry[i].stage, step);
    if (plr_source_open_path(ctx, path, &out->sources[out->count], &err) == PLR_OK) {
      out->count++;
    } else {
      snprintf(message, message_cap, "%s: %s", path, err.message);
      result = -1;
    }
  }
  free(files.entry);
  if (result != 0) snapshot_close(out);
  return result;
}

void snapshot_close(struct snapshot_files *files) {
  for (uint32_t i = 0; i < files->count; i++) files->sources[i].close(files->sources[i].user);
  free(files->sources);
  free(files->paths);
  *files = (struct snapshot_files){NULL, NULL, 0};
}

const char *snapshot_named(const struct snapshot_files *files, const plr_error *err) {
  unsigned i = 0;
  if (sscanf(err->where, "snapshot[%u]", &i) != 1 || i >= files->count) i = 0;
  return files->paths[i];
}

/* By what the headers say. A file that is damaged here makes the step one that cannot be used. */
static int is_complete(plr_context *ctx, const plr_model *model, const char *dir, uint64_t step) {
  struct snapshot_files files;
  char message[1200];
  plr_model_info all = {.struct_size = sizeof all};
  plr_snapshot_info info = {.struct_size = sizeof info};
  if (snapshot_open(ctx, dir, step, &files, message, sizeof message) != 0) return 0;
  int good = plr_model_get_info(model, &all) == PLR_OK &&
             plr_snapshot_inspect(ctx, model, files.sources, files.count, &info, NULL) == PLR_OK;
  snapshot_close(&files);
  return good && info.blocks == all.blocks && info.steps == step;
}

uint64_t snapshot_newest(plr_context *ctx, const plr_model *model, const char *dir) {
  struct list files = list_files(dir);
  uint64_t found = 0;
  for (size_t i = 0; i < files.count && !found; i++) {
    uint64_t step = files.entry[i].step;
    if (i > 0 && step == files.entry[i - 1].step) continue;
    if (is_complete(ctx, model, dir, step)) found = step;
  }
  free(files.entry);
  return found;
}

void snapshot_prune(const char *dir, uint32_t stage, uint32_t stages) {
  struct list files = list_files(dir);
  uint64_t newest = 0, oldest = 0;
  size_t kept = 0;
  for (size_t i = 0; i < files.count && kept < 2; i++) {
    if (files.entry[i].stage != stage) continue;
    if (kept++ == 0) newest = files.entry[i].step;
    oldest = kept == 2 ? files.entry[i].step : 0;
  }
  for (size_t i = 0; i < files.count; i++) {
    const struct entry *e = &files.entry[i];
    /* Of an earlier session with more stages, and of what this one trains again in another split. */
    int stale = e->stage >= stages && e->step >= newest;
    if (e->stage % stages == stage && (e->step < oldest || stale)) remove_file(dir, e);
  }
  free(files.entry);
}
