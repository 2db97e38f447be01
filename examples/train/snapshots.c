#include "snapshots.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "strbuf.h"

struct steps {
  uint64_t *step;
  size_t count;
};

void snapshot_path(char *path, size_t cap, const char *dir, uint32_t stage, uint64_t step) {
  snprintf(path, cap, "%s/stage-%u-%" PRIu64 ".plr", dir, stage, step);
}

static int newest_first(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

static struct steps list(const char *dir, uint32_t stage) {
  struct steps steps = {NULL, 0};
  DIR *folder = opendir(dir);
  if (!folder) return steps;
  for (struct dirent *entry; (entry = readdir(folder));) {
    unsigned which;
    uint64_t step;
    int end = 0;
    if (sscanf(entry->d_name, "stage-%u-%" SCNu64 ".plr%n", &which, &step, &end) != 2 || !end)
      continue;
    if (entry->d_name[end] || which != stage) continue;
    steps.step = must_realloc(steps.step, (steps.count + 1) * sizeof *steps.step);
    steps.step[steps.count++] = step;
  }
  closedir(folder);
  if (steps.count) qsort(steps.step, steps.count, sizeof *steps.step, newest_first);
  return steps;
}

uint64_t snapshot_newest(const char *dir, uint32_t stages) {
  struct steps steps = list(dir, 0);
  uint64_t found = 0;
  for (size_t i = 0; i < steps.count && !found; i++) {
    uint32_t stage = 1;
    for (char path[1100]; stage < stages; stage++) {
      snapshot_path(path, sizeof path, dir, stage, steps.step[i]);
      if (access(path, R_OK) != 0) break;
    }
    if (stage == stages) found = steps.step[i];
  }
  free(steps.step);
  return found;
}

void snapshot_prune(const char *dir, uint32_t stage) {
  struct steps steps = list(dir, stage);
  for (size_t i = 2; i < steps.count; i++) {
    char path[1100];
    snapshot_path(path, sizeof path, dir, stage, steps.step[i]);
    unlink(path);
  }
  free(steps.step);
}
