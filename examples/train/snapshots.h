/* Snapshot files: DIR/stage-<stage>-<step>.safetensors, the two newest of each stage. Those of one step are
 * together the whole state, from which any number of stages can go on. */
#ifndef TRAIN_SNAPSHOTS_H
#define TRAIN_SNAPSHOTS_H

#include <pluralis/shard.h>
#include <stddef.h>
#include <stdint.h>

void snapshot_path(char *path, size_t cap, const char *dir, uint32_t stage, uint64_t step);

#define SNAPSHOT_PATH 1100

/* The files of a step, opened. 0, or -1 with a message. */
struct snapshot_files {
  plr_source *sources;
  char (*paths)[SNAPSHOT_PATH];
  uint32_t count;
};
int snapshot_open(plr_context *ctx, const char *dir, uint64_t step, struct snapshot_files *out,
                  char *message, size_t message_cap);
void snapshot_close(struct snapshot_files *files);
/* The file that an error of loading them names, or the step's first one. */
const char *snapshot_named(const struct snapshot_files *files, const plr_error *err);

/* Newest step of which every block has a file; 0 when there is none. */
uint64_t snapshot_newest(plr_context *ctx, const plr_model *model, const char *dir);

/* Removes files of a stage older than its two newest ones; and of stages that an earlier session had beyond the
 * `stages` of this one those as old, and those that this session has taken the place of. */
void snapshot_prune(const char *dir, uint32_t stage, uint32_t stages);

#endif
