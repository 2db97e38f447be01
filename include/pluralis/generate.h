/* libpluralis: generation: sessions on a shard, and how tokens are drawn.
 *
 * A session is a sequence of tokens as one shard has seen it: the keys and values of its attention layers. A model in
 * several shards has one session on each. One call feeds rows of many sessions at once, long pieces of a prompt and
 * single tokens in any mix; how the rows are cut into calls never changes a bit of what comes out.
 *
 *   plr_session_rows rows[2] = {{session_a, prompt, prompt_len, 0, 1, 0}, {session_b, &token, 1, position, 1, 0}};
 *   plr_shard_feed(shard, rows, 2, NULL, &logits, &err);        logits: 2 x V, the last row of each
 *   plr_sample_logits(ctx, logits.data, V, &how, &token);
 */
#ifndef PLURALIS_GENERATE_H
#define PLURALIS_GENERATE_H

#include <pluralis/shard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A sequence on one shard, with its key/value cache. It keeps its shard; shard and sessions of it are used by one
 * thread at a time. */
typedef struct plr_session plr_session;

/* How large a session may become. */
typedef struct plr_session_options {
  uint32_t struct_size;
  uint32_t max_tokens; /* positions 0 .. max_tokens - 1. Default (0): the model's seq_len; at most 2^24, and what a
                          table of learned positions has */
} plr_session_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_session_options) as compiled. Since 0.1. */
PLR_API void plr_session_options_init(plr_session_options *options, uint32_t struct_size);

/* Creates an empty session; options may be NULL. The whole cache is allocated here: 4 bytes for each number of keys
 * and values, max_tokens rounded up to 16. Errors: INVALID_ARGUMENT, UNSUPPORTED (a device without the operation),
 * LIMIT (max_tokens), NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_session_create(plr_shard *shard, const plr_session_options *options, plr_session **out,
                                      plr_error *err);
/* NULL is fine. A shard that was destroyed before its sessions goes with the last of them. */
PLR_API void plr_session_destroy(plr_session *session);

/* Tokens fed so far: the position of the next one. Since 0.1. */
PLR_API uint32_t plr_session_length(const plr_session *session);

/* Forgets the tokens from `length` on, at no cost; feeding goes on at position `length`. Errors: INVALID_ARGUMENT
 * (length is beyond what there is). Since 0.1. */
PLR_API plr_status plr_session_truncate(plr_session *session, uint32_t length);

/* The rows of one session in a call. */
typedef struct plr_session_rows {
  plr_session *session;
  const int32_t *tokens; /* `count` ids; may be NULL on a shard that needs none (inner ones of a dense model) */
  uint32_t count;        /* >= 1 */
  uint32_t first_position; /* must be the session's length: a gap or a repeat is an error */
  uint32_t logits;       /* of the last rows of these `count` so many give logits; on the last shard only */
  uint32_t reserved;     /* 0 */
} plr_session_rows;

/* Feeds the rows of `count` sessions, each named once; R = the sum of their counts, at most micro_batch * seq_len of
 * the manifest. in: R x w F32 contiguous in the order of `rows`, from the boundary; NULL on the first shard. out:
 * R x w, on the last shard L x V where L is the number of rows that give logits; NULL when L is 0. The sessions become
 * longer when everything was right and are unchanged otherwise.
 * Errors (err names the entry of `rows` and the position): INVALID_ARGUMENT (token or session, a session twice), SHAPE,
 * INVALID_STATE (not the session's next position; the shard's weights have changed since its first token), LIMIT
 * (beyond max_tokens, too many rows), NON_FINITE, NO_MEMORY (the first calls only). Since 0.1. */
PLR_API plr_status plr_shard_feed(plr_shard *shard, const plr_session_rows *rows, uint32_t count,
                                  const plr_tensor *in, plr_tensor *out, plr_error *err);

/* Writes the session's state (lib/shard/SESSION.md); the sink is committed on success and aborted on failure. Errors:
 * INVALID_STATE (the weights have changed since its first token), the sink's. Since 0.1. */
PLR_API plr_status plr_session_save(plr_session *session, plr_sink *sink, plr_error *err);

/* Restores a state into an empty session of a shard with the same model, blocks, step and weight format; what follows
 * has the same bits as if nothing had happened. The session stays empty on failure. The source is not closed. That the
 * weights are the same ones is for the host to see to. Errors: INVALID_STATE (not empty), MALFORMED, VERSION,
 * TRUNCATED, CHECKSUM, MISMATCH, LIMIT (longer than max_tokens), the source's. Since 0.1. */
PLR_API plr_status plr_session_load(plr_session *session, const plr_source *source, plr_error *err);

/* ---- drawing a token -------------------------------------------------------------------------- */

/* How a token is drawn from logits. */
typedef struct plr_sample_options {
  uint32_t struct_size;
  float temperature; /* 0: the largest logit, lowest index on a tie. Default 0 */
  uint32_t top_k;    /* only the k largest logits; 0 (default): all */
  float top_p;       /* of these the most likely until their share reaches top_p, in (0, 1]; 1 (default): all */
  uint64_t seed;     /* of Philox */
  uint64_t position; /* of the token in its sequence: another number for each */
} plr_sample_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_sample_options) as compiled. Since 0.1. */
PLR_API void plr_sample_options_init(plr_sample_options *options, uint32_t struct_size);

/* Draws one token from V logits (lib/kernels/EXACT.md section 9; top-p: Holtzman et al., arXiv 1904.09751): a function
 * of the logits and the options only. Threads: any. Errors: INVALID_ARGUMENT, NON_FINITE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_sample_logits(plr_context *ctx, const float *logits, uint32_t vocab,
                                     const plr_sample_options *options, int32_t *token);

#ifdef __cplusplus
}
#endif

#endif
