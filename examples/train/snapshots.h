/* Snapshot files: DIR/stage-<stage>-<step>.plr, the two newest of each stage. */
#ifndef TRAIN_SNAPSHOTS_H
#define TRAIN_SNAPSHOTS_H

#include <stddef.h>
#include <stdint.h>

void snapshot_path(char *path, size_t cap, const char *dir, uint32_t stage, uint64_t step);

/* Newest step of which every stage 0..stages-1 has a file; 0 when there is none. */
uint64_t snapshot_newest(const char *dir, uint32_t stages);

/* Removes all but the two newest files of a stage. */
void snapshot_prune(const char *dir, uint32_t stage);

#endif
