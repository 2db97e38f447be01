/* What the files that read a manifest share. */
#ifndef PLR_MODEL_MANIFEST_INT_H
#define PLR_MODEL_MANIFEST_INT_H

#include "model/model_int.h"

#include <jansson.h>

typedef struct plr_reading {
  plr_manifest *m;
  plr_error *err;
} plr_reading;

/* A word and what it stands for; a list ends with text NULL. */
typedef struct plr_choice {
  const char *text;
  uint32_t value;
} plr_choice;

/* Refuses `key` of the object at `path` (key "": the object itself). */
plr_status plr__refuse(plr_reading *r, plr_status st, const char *path, const char *key,
                       const char *fmt, ...) PLR_PRINTF(5, 6);
plr_status plr__wrong_type(plr_reading *r, const char *path, const char *key, const char *want,
                           const json_t *got);

plr_status plr__read_whole(plr_reading *r, const char *path, const char *key, const json_t *v,
                           double min, double max, uint64_t *out);
plr_status plr__read_u64(plr_reading *r, const char *path, const char *key, const json_t *v,
                         uint64_t *out);
plr_status plr__read_real(plr_reading *r, const char *path, const char *key, const json_t *v,
                          double min, double max, double *out);
plr_status plr__read_flag(plr_reading *r, const char *path, const char *key, const json_t *v,
                          uint32_t *out);
/* out NULL: only checked. */
plr_status plr__read_choice(plr_reading *r, const char *path, const char *key, const json_t *v,
                            const plr_choice *choices, uint32_t *out);
/* 1 .. max bytes without control characters; out has room for them and a NUL. */
plr_status plr__read_text(plr_reading *r, const char *path, const char *key, const json_t *v,
                          size_t max, char *out);

/* Reads embed, blocks and head of format 2 into the manifest's program (manifest_ops.c). */
plr_status plr__read_program(plr_reading *r, const json_t *root);

#endif
