/* libpluralis: a model as its designer describes it, and the text it is trained on.
 *
 * A model is a manifest: JSON in, a canonical hash out. The hash is the model's name on links and in the ledger,
 * so it covers everything that changes a bit of training: shape, cuts, boundary, seeds and the training recipe.
 *
 *   {"format": "pluralis-model/1", "name": "kjv", "family": "llama",
 *    "vocab": "bytes",                                  256 symbols, the bytes themselves
 *    "blocks": 8, "d_model": 256, "heads": 4, "kv_heads": 2, "head_dim": 64, "d_ff": 704,
 *    "norm_eps": 1e-5, "rope_theta": 10000, "init_std": 0.02, "embed_std": 1.0, "seed": 1,
 *    "cuts": [2, 4, 6],                                 a cut c lies between block c-1 and block c
 *    "boundary": {"kind": "subspace", "rank": 8, "seed": 7, "anchor_std": 1.0},     or {"kind": "dense"}
 *    "train": {"seq_len": 128, "micro_batch": 2, "micro_batches": 4, "optimizer": "adamw",
 *              "lr": 3e-3, "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1,
 *              "clip": 1.0, "schedule": "cosine", "warmup_steps": 20, "steps": 300, "data_seed": 3}}
 *
 * Optimizers, each with the keys it needs: "adamw" (Loshchilov and Hutter 2019; the keys above); "nadam" (Dozat 2016,
 * decoupled decay): and "momentum_decay"; "muon" (Jordan et al. 2024: matrices of blocks; AdamW for the rest): and
 * "muon_lr", "muon_momentum"; "sgdm": "momentum" instead of beta1, beta2, eps; "adamw_row": the keys of adamw, with
 * one second moment a row of what writes the residual stream and a column of what reads it. "clip" limits the norm of
 * each block's gradient; with "clip_scope": "global" that of the whole model's. Schedule "wsd" (warm-up, stable, decay)
 * has "decay_steps": constant, then linear down to min_lr_ratio in the last decay_steps steps. "storage": "bf16" ("f32"
 * when it is left out) rounds to bf16 what is kept of a micro-batch from forward to backward, which halves it; weights,
 * gradients, optimizer and boundaries stay fp32 (lib/kernels/EXACT.md, section 9).
 *
 * "vocab" may also be a whole number: then the tokens are the host's. Format 2 ("pluralis-model/2") replaces family,
 * heads .. embed_std by "embed", "blocks" and "head", lists of operations (lib/model/BLOCKS.md), for blocks that no
 * family has; its `train` has "z_loss" besides, a weight of the squared log of the softmax's sum (PaLM, Chowdhery et
 * al. 2022).
 *
 * Boundary operations run at every cut whether or not the model is split there, so one shard and four shards give
 * the same bits. `dense` sends the residual stream as it is and may be cut at any block. `subspace` (Subspace
 * Networks, arXiv 2506.01260, in the reparametrised form) keeps the residual stream of all blocks before the last
 * cut in A[token] + span(U): what crosses is (x - A[token]) U, `rank` values a token; U (d_model x rank,
 * orthonormal) and the anchor rows A[token] are made from the seed. Blocks from the last cut on are full rank.
 * `projector` ({"kind": "projector", "rank": 8, "seed": 7, "anchor_std": 0.02, "tied": false}) asks nothing of the
 * blocks: the sender's D (d_model x rank) makes c = x D, the receiver makes c E + A[token] with its own E and anchor
 * table, all three trained; D starts as U, E as its transpose, the tables of all receivers alike from the seed. With
 * "tied": true (after MAPL, arXiv 2606.05484) D = U and E = U^T stay as they are, and so does the one anchor table,
 * which is subtracted before: nothing of the boundary is trained, so nothing has to be kept equal between stages.
 */
#ifndef PLURALIS_MODEL_H
#define PLURALIS_MODEL_H

#include <pluralis/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A model, read and checked; it never changes. */
typedef struct plr_model plr_model;

/* Kinds of boundary. */
#define PLR_BOUNDARY_DENSE 0u
#define PLR_BOUNDARY_SUBSPACE 1u
#define PLR_BOUNDARY_PROJECTOR 2u

/* Parts of a model that a list of operations describes. */
#define PLR_PART_EMBED 1u
#define PLR_PART_BLOCK 2u
#define PLR_PART_HEAD 3u

/* Operations of a block, as lib/model/BLOCKS.md describes them. */
#define PLR_LAYER_EMBEDDING 1u
#define PLR_LAYER_POSITIONS 2u
#define PLR_LAYER_LINEAR 3u
#define PLR_LAYER_RMSNORM 4u
#define PLR_LAYER_LAYERNORM 5u
#define PLR_LAYER_ROPE 6u
#define PLR_LAYER_ATTENTION 7u
#define PLR_LAYER_SILU 8u
#define PLR_LAYER_GELU 9u
#define PLR_LAYER_GELU_TANH 10u
#define PLR_LAYER_RELU2 11u
#define PLR_LAYER_SWIGLU 12u
#define PLR_LAYER_ADD 13u
#define PLR_LAYER_MUL 14u
#define PLR_LAYER_SCALE 15u
#define PLR_LAYER_MOE 16u

/* How a rotary table is stretched. */
#define PLR_SCALING_NONE 0u
#define PLR_SCALING_LINEAR 1u
#define PLR_SCALING_LLAMA3 2u
#define PLR_SCALING_YARN 3u

/* Learning rate over steps, after the warm-up. */
#define PLR_SCHEDULE_CONSTANT 0u
#define PLR_SCHEDULE_LINEAR 1u
#define PLR_SCHEDULE_COSINE 2u
#define PLR_SCHEDULE_WSD 3u

/* Optimizers. */
#define PLR_OPTIMIZER_ADAMW 1u
#define PLR_OPTIMIZER_NADAM 2u
#define PLR_OPTIMIZER_MUON 3u
#define PLR_OPTIMIZER_SGDM 4u
#define PLR_OPTIMIZER_ADAMW_ROW 5u

/* Whose gradient norm `clip` limits. */
#define PLR_CLIP_BLOCK 0u
#define PLR_CLIP_GLOBAL 1u

/* How activations are kept from forward to backward. */
#define PLR_STORAGE_F32 0u
#define PLR_STORAGE_BF16 1u

/* Most blocks a model can have. */
#define PLR_MAX_BLOCKS 1024u

/* The manifest's fields as numbers. Set struct_size before the call that fills it. In format 2 heads, kv_heads and
 * head_dim are those of all attention, 0 when they differ; d_ff, norm_eps, init_std, embed_std and rope_theta are 0. */
typedef struct plr_model_info {
  uint32_t struct_size;
  uint32_t blocks, d_model, heads, kv_heads, head_dim, d_ff, vocab; /* as in the manifest */
  uint32_t cut_count;      /* see plr_model_cut */
  uint32_t boundary;       /* PLR_BOUNDARY_* */
  uint32_t boundary_width; /* values a token on the wire: d_model, or rank */
  uint32_t first_full_rank; /* first block that is not held in the subspace; 0 for dense */
  uint32_t seq_len, micro_batch, micro_batches, steps, warmup_steps; /* as in the manifest */
  uint32_t schedule; /* PLR_SCHEDULE_* */
  float norm_eps, init_std, embed_std, anchor_std; /* anchor_std: 0 for dense */
  float lr, min_lr_ratio, beta1, beta2, eps, weight_decay, clip; /* clip: gradient norm; 0 = off. sgdm: beta1 is its
                                                                      momentum, beta2 and eps are 0 */
  uint32_t reserved;
  double rope_theta; /* base of the rotary frequencies */
  uint64_t seed, boundary_seed, data_seed; /* of the weights, of U and the anchors, of the order of the text */
  uint64_t parameters; /* trainable numbers in the whole model */
  uint32_t optimizer;   /* PLR_OPTIMIZER_* */
  uint32_t clip_scope;  /* PLR_CLIP_* */
  uint32_t decay_steps; /* of schedule wsd, else 0 */
  float momentum_decay, muon_lr, muon_momentum; /* of nadam and muon, else 0 */
  uint32_t format; /* of the manifest: 1 or 2 */
  float z_loss;    /* 0 in format 1 */
  uint32_t storage; /* PLR_STORAGE_* */
  uint32_t reserved2; /* 0 */
} plr_model_info;

/* Reads a manifest (len bytes of UTF-8 JSON). Unknown or repeated keys, wrong types and impossible shapes are
 * refused and named in err->where ("manifest.boundary.rank"). Errors: MALFORMED, LIMIT, UNSUPPORTED, NO_MEMORY.
 * The model is immutable; const functions on it may run from any thread. Since 0.1. */
PLR_API plr_status plr_model_from_json(plr_context *ctx, const char *json, size_t len, plr_model **out,
                                       plr_error *err);
PLR_API void plr_model_destroy(plr_model *model);

/* What config.json of a published model does not say. */
typedef struct plr_config_options {
  uint32_t struct_size;
  uint32_t cut_count;    /* as "cuts" of a manifest */
  const uint32_t *cuts;  /* cut_count positions */
  const char *name;      /* of the model; NULL (default): the config's model_type */
  const char *boundary;  /* JSON object, as "boundary" of a manifest; NULL (default): {"kind": "dense"} */
  const char *train;     /* JSON object, as "train" of a manifest; NULL (default): for serving, one sequence of at most
                            512 tokens */
  uint64_t seed;         /* of initial weights; default 0 */
} plr_config_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_config_options) as compiled. Since 0.1. */
PLR_API void plr_config_options_init(plr_config_options *options, uint32_t struct_size);

/* Makes a model from config.json of a published one (the `transformers` package, its spellings 4.x and 5.x):
 * model_type llama (Llama 2 and 3, SmolLM2), mistral, qwen2, qwen3, mixtral, qwen3_moe, gpt2. It is the model of a
 * manifest of format 2 that says the same, so the same config and options have the same hash everywhere. The model
 * also knows the names of its weights: plr_shard_create reads them from the published files. Tied embeddings become
 * two matrices, because the two ends live on different machines. Keys that may change what is computed and are not
 * known are refused by name. options: NULL for the defaults; copied. Errors: INVALID_ARGUMENT, MALFORMED, UNSUPPORTED,
 * LIMIT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_model_from_config(plr_context *ctx, const char *json, size_t len,
                                         const plr_config_options *options, plr_model **out, plr_error *err);

/* config.json for the files that plr_shard_export writes (untied, F32): NUL-terminated, lives as long as the model.
 * NULL for a model that was not made from one. Since 0.1. */
PLR_API const char *plr_model_config(const plr_model *model);

/* SHA-256 of the canonical binary form ("pluralis.model/v1", then the fields in a fixed order; lib/model/README).
 * Two JSON texts that say the same thing have the same hash. Since 0.1. */
PLR_API void plr_model_hash(const plr_model *model, plr_hash *out);

/* Fills *info (set info->struct_size first). Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_model_get_info(const plr_model *model, plr_model_info *info);

/* Name from the manifest; lives as long as the model. Since 0.1. */
PLR_API const char *plr_model_name(const plr_model *model);

/* Position of cut i, 0 <= i < cut_count, ascending; 0 when i is out of range. Since 0.1. */
PLR_API uint32_t plr_model_cut(const plr_model *model, uint32_t i);

/* 1 when a shard may start or end at block position p (0, the end, a cut, or anything for dense). Since 0.1. */
PLR_API int32_t plr_model_can_cut(const plr_model *model, uint32_t p);

/* Work of one block for one token, forward and backward, in floating-point operations; the first block carries the
 * embedding, the last one the output head. These integers are the ledger's units. 0 when out of range. Since 0.1. */
PLR_API uint64_t plr_model_block_cost(const plr_model *model, uint32_t block);

/* ---- builder ----------------------------------------------------------------------------------
 *
 * A model of format 2 from C, operation by operation; what comes out, hash included, is what the same manifest in JSON
 * gives. Lists are begun in the order embed, one or more kinds of block, head:
 *
 *   plr_builder_create(ctx, text, len, &b, err)            name, vocab, d_model, seed, cuts, boundary, train
 *   plr_builder_begin(b, PLR_PART_EMBED, 1, err); plr_builder_op(b, &embedding, err)
 *   plr_builder_begin(b, PLR_PART_BLOCK, 4, err); plr_builder_op(b, &norm, err); ...
 *   plr_builder_begin(b, PLR_PART_HEAD, 1, err);  plr_builder_op(b, &linear, err)
 *   plr_builder_build(b, &model, err); plr_builder_destroy(b)
 */

/* A model that is being described. */
typedef struct plr_builder plr_builder;

/* One operation of a block, embedding or head: the keys of lib/model/BLOCKS.md as members. Members that the operation
 * does not have must be 0 or NULL. Strings are copied. */
typedef struct plr_op_desc {
  uint32_t struct_size; /* set by plr_op_desc_init */
  uint32_t op;          /* PLR_LAYER_* */
  const char *in1, *in2, *in3; /* operands in order: in; q, k, v; gate, up; a, b */
  const char *out;            /* name of the result */
  const char *name;           /* of the parameters */
  uint32_t cols, bias, write; /* linear, layernorm (bias), moe (cols) */
  uint32_t heads, kv_heads, head_dim, window; /* of rmsnorm (heads), rope (head_dim) and attention */
  uint32_t count;                            /* of positions */
  uint32_t experts, top_k, act, renormalise; /* of moe; act: PLR_LAYER_SILU, GELU, GELU_TANH or RELU2 */
  uint32_t scaling, original;                /* of rope; scaling: PLR_SCALING_* */
  uint32_t reserved[2];
  double std, down_std, eps, theta, balance; /* initial deviation, of moe's down; of norms; of rope; of moe */
  double scale; /* attention: 0 is 1/sqrt(head_dim); scale: the factor */
  double factor, low_freq, high_freq, beta_fast, beta_slow, attention_factor; /* of scaling */
} plr_op_desc;

/* Fills *desc with zeros. struct_size: sizeof(plr_op_desc) as compiled. Since 0.1. */
PLR_API void plr_op_desc_init(plr_op_desc *desc, uint32_t struct_size);

/* text: a manifest of format 2 without "embed", "blocks" and "head" (len bytes, copied). Errors: MALFORMED, LIMIT,
 * UNSUPPORTED, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_builder_create(plr_context *ctx, const char *text, size_t len, plr_builder **out,
                                      plr_error *err);
PLR_API void plr_builder_destroy(plr_builder *builder);

/* Begins a list and ends the one before. part: PLR_PART_*; repeat: how many such blocks follow one another (1 for embed
 * and head). Errors are named as in the manifest ("manifest.blocks[0].ops[3].cols"): MALFORMED, INVALID_ARGUMENT
 * (order), INVALID_STATE, NO_MEMORY. A list that is refused spoils the builder. Since 0.1. */
PLR_API plr_status plr_builder_begin(plr_builder *builder, uint32_t part, uint32_t repeat, plr_error *err);

/* Appends an operation; one that is refused changes nothing. Errors: MALFORMED (a number out of bounds, a value that is
 * not there, columns that do not fit), INVALID_ARGUMENT, INVALID_STATE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_builder_op(plr_builder *builder, const plr_op_desc *desc, plr_error *err);

/* Checks the whole and gives the model. Afterwards the builder can only be destroyed. Errors: as plr_model_from_json,
 * INVALID_STATE. Since 0.1. */
PLR_API plr_status plr_builder_build(plr_builder *builder, plr_model **out, plr_error *err);

/* ---- corpus ----------------------------------------------------------------------------------- */

/* A text to train and evaluate on. */
typedef struct plr_corpus plr_corpus;

/* Parts of a corpus. */
#define PLR_SPLIT_TRAIN 0u
#define PLR_SPLIT_VALIDATION 1u

/* A text as bytes, borrowed until destroy. The last tenth (rounded down) is the validation part. A micro-batch is
 * a function of (corpus, split, seed, index) only. Each part must hold more than seq_len+1 bytes of the models it
 * is used with. Errors: INVALID_ARGUMENT (empty), NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_corpus_create(plr_context *ctx, const void *text, size_t len, plr_corpus **out,
                                     plr_error *err);
PLR_API void plr_corpus_destroy(plr_corpus *corpus);

/* Merkle root (RFC 6962) over 64 KiB pieces of the text. Since 0.1. */
PLR_API void plr_corpus_root(const plr_corpus *corpus, plr_hash *out);

/* Writes `rows` sequences of seq_len+1 tokens to tokens (rows x (seq_len+1)); the last of each is only a label.
 * Row r starts at offset mulhi(Philox(seed, index, split, r), part length - seq_len) of its part. Threads: const.
 * Errors: INVALID_ARGUMENT (text too short for seq_len). Since 0.1. */
PLR_API plr_status plr_corpus_batch(const plr_corpus *corpus, uint32_t split, uint64_t seed, uint64_t index,
                                    uint32_t rows, uint32_t seq_len, int32_t *tokens, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
