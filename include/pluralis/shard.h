/* libpluralis: a shard: consecutive blocks of a model on one device, trained or used for inference.
 *
 *   forward(slot 0) forward(slot 1) backward(slot 0) backward(slot 1) step
 *
 * A slot holds what backward needs of one micro-batch. Gradients continue one chain from micro-batch to
 * micro-batch, so backward calls must come in micro-batch order; the result is then the same bits for every split
 * of the model and every thread count. Training allocates nothing after create.
 *
 * Sizes: N = micro_batch * seq_len token rows (from the manifest), V = vocab, w = boundary_width.
 */
#ifndef PLURALIS_SHARD_H
#define PLURALIS_SHARD_H

#include <pluralis/io.h>
#include <pluralis/model.h>
#include <pluralis/tensor.h>
#include <pluralis/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks of a model with their weights, gradients and optimizer state. */
typedef struct plr_shard plr_shard;

/* Which blocks, and what for. */
typedef struct plr_shard_options {
  uint32_t struct_size;
  uint32_t first_block, end_block; /* blocks [first, end); both must be allowed cuts. Default: the whole model;
                                      end_block 0 is the model's end */
  uint32_t slots;                  /* micro-batches in flight, >= 1; default 1 */
  uint32_t inference_only;         /* 1: no gradients and optimizer state; default 0 */
  uint32_t recompute;              /* 1: of a micro-batch in flight only what crosses from block to block is kept, and
                                      backward computes the rest again: less memory, about a third more work, the same
                                      bits; not for models with storage "bf16" (UNSUPPORTED); default 0 */
  const char *device; /* "cpu" (default); "cuda" or "cuda:1": a device of the CUDA plugin; "cuda:PATH" or
                         "cuda:1:PATH": of the plugin in that file */
  plr_weights *weights; /* where the initial weights are read from, at step 0; NULL (default): made from the seed */
  uint32_t weight_format; /* PLR_WEIGHTS_*: how weights are held; other than F32 with inference_only. Default: F32 */
  uint32_t delayed;  /* PLR_DELAYED_*: whether a step may come between a forward and its backward; default REFUSED */
  uint32_t versions; /* PLR_DELAYED_STASH: weights of so many versions may be held at once, the newest included: for
                        each one more than 1 another copy of the shard's weights, taken at create; default 1 */
  uint32_t reserved2; /* 0 */
} plr_shard_options;

/* What a backward computes with when the weights have changed since its forward (asynchronous pipelines; the delay is
 * the number of steps in between). STASH: with the weights of its forward, which the step keeps aside (weight
 * stashing, PipeDream, arXiv 1806.03377). NEWEST: with the weights as they are. */
#define PLR_DELAYED_REFUSED 0u
#define PLR_DELAYED_STASH 1u
#define PLR_DELAYED_NEWEST 2u

/* Formats of weights for serving (lib/kernels/EXACT.md section 9). Products with 8- and 4-bit weights round their
 * inputs to 8 bits in groups of 32; every format has the same bits on every machine. */
#define PLR_WEIGHTS_F32 0u
#define PLR_WEIGHTS_BF16 1u
#define PLR_WEIGHTS_Q8 2u /* 8.5 bits a weight */
#define PLR_WEIGHTS_Q4 3u /* 4.5 bits a weight */

/* Fills *options with the defaults. struct_size: sizeof(plr_shard_options) as compiled. Since 0.1. */
PLR_API void plr_shard_options_init(plr_shard_options *options, uint32_t struct_size);

/* Creates the shard with its seeded initial weights, which depend on the model only, not on the split; or with those
 * of a checkpoint. A model of plr_model_from_config is read under the names of its family, any other under its own
 * (rows x cols as plr_shard_parameter says); parameters that the family does not have (a trained boundary) keep their
 * seeded values. The weights are read during the call only. The model is kept by reference.
 * Errors: INVALID_ARGUMENT (not an allowed cut, name of a device), NOT_FOUND (device, plugin; a tensor), UNSUPPORTED
 * (plugin for another version; element type of a tensor), MISMATCH (shape of a tensor), NON_FINITE (in a tensor),
 * UNAVAILABLE (no driver, no such device), NO_MEMORY, those of the weights. Since 0.1. */
PLR_API plr_status plr_shard_create(plr_context *ctx, const plr_model *model, const plr_shard_options *options,
                                    plr_shard **out, plr_error *err);
PLR_API void plr_shard_destroy(plr_shard *shard);

/* Training forward of one micro-batch into `slot`.
 * tokens: micro_batch x (seq_len+1) ids, copied; ~id (below zero) is the same token, but not counted as the label of
 * the row before it: its loss and gradient are 0. in: N x w F32 contiguous, NULL for the first shard. out: N x w,
 * written; NULL for the last shard, which computes the loss instead: *loss_sum is the sum over N rows of the
 * cross-entropy in nats (loss_sum may be NULL elsewhere).
 * Errors: SHAPE, INVALID_ARGUMENT (slot, token out of range), INVALID_STATE (slot holds a forward whose backward is
 * due), NON_FINITE (in or out; the slot stays free). Since 0.1. */
PLR_API plr_status plr_shard_forward(plr_shard *shard, uint32_t slot, const int32_t *tokens, const plr_tensor *in,
                                     plr_tensor *out, double *loss_sum);

/* Backward of the micro-batch in `slot`, which becomes free. grad_out: N x w, the gradient of what forward put out,
 * NULL for the last shard. grad_in: N x w, written, NULL for the first shard. The loss is the mean over all tokens
 * of the step (micro_batch * micro_batches * seq_len). Errors: SHAPE, INVALID_STATE, NON_FINITE. A grad_out that is
 * not finite changes nothing: the slot still waits for a good one. When the result is not finite grad_in is not
 * written, the slot is free and the step that follows is refused. Since 0.1. */
PLR_API plr_status plr_shard_backward(plr_shard *shard, uint32_t slot, const plr_tensor *grad_out,
                                      plr_tensor *grad_in);

/* Applies the optimizer to the accumulated gradients, clears them and counts the step. A non-finite gradient
 * refuses the step: NON_FINITE, weights unchanged, gradients cleared. INVALID_STATE when a slot is still busy, unless
 * the options allow delays (then: when more versions would be needed than they say), when there was no backward, or
 * when the model limits its norm globally (clip_scope) and the shard is not all of it. With delays allowed, gradients
 * of fewer micro-batches than the model's step has are scaled up to their mean. Since 0.1. */
PLR_API plr_status plr_shard_step(plr_shard *shard);

/* For a model whose clip_scope is "global": the sum of squares of the accumulated gradient of each of the shard's
 * blocks, count = end - first numbers; infinity for all of them when a gradient is not finite. Whoever runs the shards
 * collects the sums of all blocks and hands them to every shard's plr_shard_step_global. Errors: INVALID_ARGUMENT
 * (count), INVALID_STATE (as plr_shard_step: a slot is busy, no backward). Since 0.1. */
PLR_API plr_status plr_shard_gradient_sums(plr_shard *shard, double *sums, uint32_t count);

/* plr_shard_step with the sums of all `count` blocks of the model in order, which are added in that order: the same
 * bits for every split. A sum of infinity refuses the step on every shard: NON_FINITE, weights unchanged, gradients
 * cleared. Errors: INVALID_ARGUMENT (count; a sum below zero or NaN; sums of the shard's own blocks that are not what
 * it measured: nothing changes), INVALID_STATE (as plr_shard_step; or the clip_scope is "block"), NON_FINITE.
 * Since 0.1. */
PLR_API plr_status plr_shard_step_global(plr_shard *shard, const double *sums, uint32_t count);

/* Optimizer steps done since the seeded start. Since 0.1. */
PLR_API uint64_t plr_shard_steps(const plr_shard *shard);

/* Forward only: nothing is kept. rows sequences of seq tokens each (rows * seq <= N, seq <= seq_len), tokens is
 * rows x seq. in: rows*seq x w or NULL on the first shard. out: rows*seq x w, on the last shard the logits
 * rows*seq x V. Allowed while slots are busy. Errors: SHAPE, INVALID_ARGUMENT, NON_FINITE. Since 0.1. */
PLR_API plr_status plr_shard_infer(plr_shard *shard, const int32_t *tokens, uint32_t rows, uint32_t seq,
                                   const plr_tensor *in, plr_tensor *out);

/* Cross-entropy of logits (rows x V) against labels, summed in nats by the rule of the training loss; a label below
 * zero is not counted; logits are overwritten. For evaluation on the last shard. Since 0.1. */
PLR_API plr_status plr_shard_loss(plr_shard *shard, plr_tensor *logits, const int32_t *labels, double *loss_sum);

/* Draws one token from V logits with Philox(seed, position): temperature 0 is the largest (lowest index on a tie).
 * top_k 0 = all. Deterministic. Errors: INVALID_ARGUMENT, NON_FINITE. Since 0.1. */
PLR_API plr_status plr_sample(const float *logits, uint32_t vocab, float temperature, uint32_t top_k, uint64_t seed,
                              uint64_t position, int32_t *token);

/* ---- parameters: what a shard trains, one matrix each ------------------------------------------- */

/* A parameter: y = x W with W rows x cols, row-major; a gain or a bias is 1 x cols. name is its global name
 * ("blocks.3.attn.q.weight", lib/model/README.md), `block` the block it belongs to. The name lives as long as the
 * shard. Set struct_size before the call that fills it. */
typedef struct plr_parameter_info {
  uint32_t struct_size;
  uint32_t block;
  int64_t rows, cols;
  const char *name;
} plr_parameter_info;

/* What plr_shard_read reads. */
#define PLR_PARAMETER_WEIGHT 0u
#define PLR_PARAMETER_GRADIENT 1u /* of the step's mean loss, summed over the backward calls since the last step */

/* How many parameters the shard has. Since 0.1. */
PLR_API uint32_t plr_shard_parameters(const plr_shard *shard);

/* Fills *info for parameter i, 0 <= i < plr_shard_parameters, in the order of the model. Errors: INVALID_ARGUMENT
 * (i, struct_size). Since 0.1. */
PLR_API plr_status plr_shard_parameter(const plr_shard *shard, uint32_t i, plr_parameter_info *info);

/* Copies a parameter's values to out, F32 contiguous of its rows x cols: for gradient checks and for looking at a
 * model. what: PLR_PARAMETER_*. Errors: NOT_FOUND (no parameter of that name in this shard), SHAPE, INVALID_ARGUMENT
 * (what), INVALID_STATE (a gradient when there was no backward since the last step). Since 0.1. */
PLR_API plr_status plr_shard_read(plr_shard *shard, uint32_t what, const char *name, plr_tensor *out,
                                  plr_error *err);

/* Replaces a parameter's weights by in, F32 contiguous of its rows x cols, all finite. Optimizer state and step stay.
 * Errors: NOT_FOUND, SHAPE, NON_FINITE, INVALID_STATE (a slot is busy: its backward needs the old ones). Since 0.1. */
PLR_API plr_status plr_shard_write(plr_shard *shard, const char *name, const plr_tensor *in, plr_error *err);

/* Writes the weights as a safetensors file under the names and in the layout that plr_shard_create reads, so that a
 * model of plr_model_from_config can be opened by others. dtype: PLR_DTYPE_F32, or PLR_DTYPE_BF16 (rounded to nearest
 * even). The files of all shards of a model, with plr_weights_write_index and plr_model_config, are a checkpoint. The
 * sink is committed on success and aborted on failure. Errors: INVALID_ARGUMENT (dtype), UNSUPPORTED (the family has no
 * name for a parameter), NO_MEMORY, the sink's. Since 0.1. */
PLR_API plr_status plr_shard_export(plr_shard *shard, uint32_t dtype, plr_sink *sink, plr_error *err);

/* ---- snapshots ---------------------------------------------------------------------------------- */

/* Writes a snapshot (lib/shard/SNAPSHOT.md): a safetensors file with the weights under their global names, the
 * optimizer state, the step, and a hash of everything. The sink is committed on success and aborted on failure. Errors:
 * INVALID_STATE (gradients are pending, a slot is busy, or the shard is for inference only), NO_MEMORY, the sink's.
 * Since 0.1. */
PLR_API plr_status plr_shard_save(plr_shard *shard, plr_sink *sink, plr_error *err);

/* Restores the shard's blocks from a snapshot of the same model that holds them all, whatever else it holds, and drops
 * gradients and micro-batches in flight; the shard is unchanged on failure. Reads the ranges of these blocks only; an
 * inference-only shard reads the weights only. What follows has the same bits as if nothing had been stopped. Holds
 * both states for a moment. The source is not closed. Errors: MALFORMED, VERSION, TRUNCATED, CHECKSUM, MISMATCH
 * (another model or other blocks), LIMIT, NO_MEMORY, the source's. Since 0.1. */
PLR_API plr_status plr_shard_load(plr_shard *shard, const plr_source *source, plr_error *err);

/* plr_shard_load from `count` snapshots that were saved by shards of any other split of the same model at the same
 * step. No block may be in two of them, and each of the shard's must be in one. Errors: as plr_shard_load, with
 * MISMATCH also when the parts do not belong together; err->where names the part ("snapshot[2]");
 * INVALID_ARGUMENT (no part, or more parts than blocks). Since 0.1. */
PLR_API plr_status plr_shard_load_parts(plr_shard *shard, const plr_source *sources, uint32_t count,
                                        plr_error *err);

/* What a set of snapshots holds. Set struct_size before the call that fills it. */
typedef struct plr_snapshot_info {
  uint32_t struct_size;
  uint32_t blocks; /* how many blocks of the model are there */
  uint64_t steps;  /* optimizer steps done */
  plr_hash root;   /* weight root of the state when all blocks are there, else zero */
} plr_snapshot_info;

/* Reads the headers of `count` snapshots of `model` and checks that they belong together, as plr_shard_load_parts does.
 * The root is the one the parts state; loading checks every block against it. So a resume is one from the state that
 * a ledger knows. Errors: as plr_shard_load_parts. Since 0.1. */
PLR_API plr_status plr_snapshot_inspect(plr_context *ctx, const plr_model *model, const plr_source *sources,
                                        uint32_t count, plr_snapshot_info *info, plr_error *err);

/* Leaf hash of each of the shard's blocks (weights, moments and step under global names, lib/shard/leaves.c): count =
 * end - first hashes. The root over all blocks of the model is the same for every split. Errors: INVALID_ARGUMENT
 * (count), INVALID_STATE (inference only: there are no moments). Since 0.1. */
PLR_API plr_status plr_shard_leaves(plr_shard *shard, plr_hash *leaves, uint32_t count);

/* Weight root of a whole model from the leaves of its blocks in order (RFC 6962 tree). Since 0.1. */
PLR_API plr_status plr_weight_root(const plr_hash *leaves, uint32_t count, plr_hash *out);

#ifdef __cplusplus
}
#endif

#endif
