/* A checkpoint's files: which tensor is in which, opened when they are needed. */
#ifndef PLR_SHARD_WEIGHTS_INT_H
#define PLR_SHARD_WEIGHTS_INT_H

#include <pluralis/weights.h>

#include "base/guard.h"
#include "shard/safetensors.h"

typedef struct plr_weights_file {
  const char *name; /* "" for the only file */
  plr_source source;
  plr_st_file st;
  uint32_t open, reserved;
} plr_weights_file;

typedef struct plr_weights_entry {
  const char *name;
  uint32_t file, reserved;
} plr_weights_entry;

struct plr_weights {
  plr_context *ctx;
  PLR_GUARDED
  char *index;  /* text in which the names live; NULL for a single file */
  char *folder; /* of plr_weights_open_path */
  plr_source_opener opener;
  plr_weights_file *files; /* by name */
  plr_weights_entry *entries; /* by name */
  uint32_t file_count, entry_count;
};

/* A tensor and the file it is in, which is opened when it was not; *tensor is NULL when there is none. */
plr_status plr__weights_find(plr_weights *w, const char *name, const plr_st_file **file,
                             const plr_st_tensor **tensor, plr_error *err);

/* Reads an index into w (weights_index.c): index, files and entries. */
plr_status plr__weights_read_index(plr_weights *w, const char *json, size_t len, plr_error *err);

/* MALFORMED unless it is the name of a file in a folder and nothing else. */
plr_status plr__weights_check_file_name(const char *name, const char *where, plr_error *err);

#endif
