/* Sessions: what their files share. */
#ifndef PLR_SHARD_SESSION_INT_H
#define PLR_SHARD_SESSION_INT_H

#include <pluralis/generate.h>

#include "shard/shard_int.h"

/* Where an attention layer lies in a session's memory: floats from its start for each position of capacity. */
typedef struct plr_layer {
  uint32_t node; /* of the forward list */
  uint32_t heads, kv_heads, head_dim;
  int64_t keys, values;
} plr_layer;

/* What a shard has for its sessions; made with the first of them. */
typedef struct plr_serving {
  plr_layer *layers;
  uint32_t layer_count;
  int64_t per_position; /* floats of all layers */

  /* After node `cut` of the forward list only one value goes on and every row is for itself: rows that give no
   * logits stop there. The others are gathered from `cut_value` into `gathered`. The end of the list when there
   * is no such node, and on shards that are not the last. */
  uint32_t cut, cut_value;
  float *gathered;

  int32_t *positions, *chosen; /* device: of each row; rows that give logits */
  int32_t *host_ids;           /* what goes there and to the ids, one after the other */
  plr_cache_rows *groups;      /* of the present call and layer, one for each row there may be */
  uint64_t calls;
  uint32_t sessions; /* alive */
  uint32_t orphaned; /* the shard's destroy was called */
} plr_serving;

struct plr_session {
  plr_shard *shard;
  float *memory; /* device */
  uint32_t max_tokens, length;
  int64_t capacity;          /* max_tokens rounded up to 16 */
  uint64_t weights, last_call; /* the weights that its tokens were fed with; see plr_shard.weights */
};

/* Makes shard->serving unless it is there. */
plr_status plr__serving_make(plr_shard *s, plr_error *err);

/* A layer's cache in a session. */
plr_cache_rows plr__session_layer(const plr_session *session, const plr_layer *layer);

/* INVALID_STATE when tokens were fed with other weights than the shard has now. */
plr_status plr__session_check_weights(const plr_session *session, const char *where, plr_error *err);

#define PLR_SESSION_MAGIC   "PLR-SESS"
#define PLR_SESSION_VERSION 1u
#define PLR_SESSION_HEADER  80u

#endif
