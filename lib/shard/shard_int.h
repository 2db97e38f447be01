/* What the files of shard share with each other and with shard's tests. */
#ifndef PLR_SHARD_SHARD_INT_H
#define PLR_SHARD_SHARD_INT_H

#include <pluralis/shard.h>

#include "base/guard.h"
#include "backend/backend.h"
#include "base/base.h"
#include "model/model.h"

/* The lists a graph is run as. INFER is the forward list without the loss, keeping nothing. */
typedef enum plr_list {
  PLR_LIST_FORWARD = 0,
  PLR_LIST_BACKWARD,
  PLR_LIST_INFER,
  PLR_LIST_COUNT
} plr_list;

/* Where a value lives while a list runs, in 4-byte elements from the start of the slot's or the shared memory. */
typedef enum plr_where { PLR_NOWHERE = 0, PLR_IN_SLOT, PLR_IN_SCRATCH } plr_where;

typedef struct plr_place {
  int64_t offset;
  uint32_t where, reserved;
} plr_place;

/* A value that the slot holds in bf16 (storage.c): it is packed from its place once `node` of the forward list is done,
 * and unpacked to its place before `node` of the backward list. */
typedef struct plr_move {
  uint32_t node, value;
  int64_t offset; /* in the slot, 4-byte elements */
} plr_move;

typedef struct plr_slot {
  float *memory;    /* device: what backward needs of one micro-batch */
  uint32_t busy;    /* a forward was done, its backward is due */
  uint32_t version; /* of the weights it was done with: 0 the newest, else 1 + index of the stash */
  uint64_t updates; /* steps that this shard had done before it */
} plr_slot;

/* Weights before a step, for the slots whose backward is still due (stash.c). */
typedef struct plr_stash {
  float *w;
  uint32_t users, reserved;
} plr_stash;

/* Delays between forward and backward, in steps. */
typedef struct plr_delays {
  uint32_t allowed; /* PLR_DELAYED_* */
  uint32_t versions;
  uint64_t last, sum; /* of the newest backward; of those since the last step */
  uint32_t stages;    /* 0: no correction */
  uint32_t reserved;
  uint64_t horizon;
  uint64_t updates; /* steps that this shard has done */
  uint64_t clock; /* the next step counts up to at least this; 0: by one */
} plr_delays;

/* Weights and what their optimizer keeps: one arena each. w and m of parameter i are at param_offset[i] elements, v,
 * which not every optimizer has and which may be smaller, is at second_offset[i]. */
typedef struct plr_state {
  float *w, *m, *v;
  char *packed; /* parameters in a serving format, which are not in w */
  uint64_t steps;
  double power1, power2; /* products over the steps done: of beta1 (NAdam: of mu), of beta2 */
} plr_state;

/* How a parameter is held for serving: pack.c. */
#define PLR_PACK_UNUSED 0u
#define PLR_PACK_NONE   1u
#define PLR_PACK_NN     2u
#define PLR_PACK_NT     3u
typedef struct plr_pack {
  uint32_t packed; /* 1: in plr_state.packed, at `offset` bytes */
  uint32_t layout; /* PLR_PACK_*: how its numbers are stored, and what they are used for */
  int64_t offset;
  int64_t room; /* in plr_shard.packing, elements */
  int64_t n, k; /* outputs, inputs */
} plr_pack;

struct plr_shard {
  plr_context *ctx;
  PLR_GUARDED
  plr_model *model;
  const plr_model_info *info;
  plr_device *device;
  uint32_t first_block, end_block, slot_count, inference_only, recompute;

  plr_graph graph;
  plr_place *places[PLR_LIST_COUNT];
  plr_move *moves[PLR_LIST_COUNT]; /* of FORWARD and BACKWARD, by node; NULL: nothing is kept in bf16 */
  uint32_t move_count;
  int64_t slot_size, scratch_size; /* elements */
  int64_t rows;                    /* N */

  plr_state state;
  float *grads;           /* arena */
  int64_t *param_offset;  /* per parameter */
  int64_t param_elements; /* of an arena */
  int64_t *second_offset; /* as param_offset, into state.v */
  int64_t second_elements;
  float **constants; /* by plr_const_id; NULL where the graph uses none */

  plr_slot *slots;
  plr_stash *stash; /* delays.versions - 1 of them */
  plr_delays delays;
  float *scratch;
  void *work;
  size_t work_size;
  double *sums;        /* device: pairs of SUMSQ, one for each parameter */
  double *host_sums;   /* the same, read back */
  double *block_sums;  /* one for each of the shard's blocks */
  uint32_t measured;   /* host_sums are of the gradients as they are */
  uint8_t *host_bytes; /* PLR_STAGE_BYTES or more: ids, labels, losses, pieces of tensors */

  uint32_t pending;  /* micro-batches in the gradients */
  uint32_t poisoned; /* a backward went wrong after it had touched the gradients */

  plr_pack *packs;        /* per parameter */
  int64_t packed_bytes;   /* of plr_state.packed; 0: weights are fp32 */
  float *packing;         /* device: the numbers of a block's parameters before they are packed */
  int64_t packing_elements;

  int64_t positions;           /* rows of the tables of rotary positions */
  uint32_t weight_format;      /* PLR_WEIGHTS_* */
  uint64_t weights;            /* counts changes of the weights */
  struct plr_serving *serving; /* session.c; NULL as long as there was no session */
};

/* Bytes moved between device and host at once when tensors are saved, loaded or hashed. */
#define PLR_STAGE_BYTES 262144u

/* ---- plan.c ----------------------------------------------------------------------------------- */

/* Fills places, slot_size and scratch_size from the graph. */
plr_status plr__shard_plan(plr_shard *s);

/* ---- storage.c -------------------------------------------------------------------------------- */

/* Marks values that storage bf16 never rounds: exact[value] = 1. */
void plr__storage_exact(const plr_graph *g, uint8_t *exact);
/* Puts the moves of a list in the order of their nodes. */
void plr__storage_sort(plr_move *moves, uint32_t count);
/* UNSUPPORTED when the shard cannot do what the model's storage asks for. */
plr_status plr__storage_check(const plr_shard *s, plr_error *err);

/* ---- stash.c ---------------------------------------------------------------------------------- */

plr_status plr__stash_alloc(plr_shard *s);
void plr__stash_free(plr_shard *s);
/* INVALID_STATE when a step would need more versions than there are. */
plr_status plr__stash_ready(const plr_shard *s);
/* Before the weights change: keeps them for the slots that will need them. */
plr_status plr__stash_keep(plr_shard *s);
/* Weights for the backward of a slot, NULL for the newest; and that it is done. */
float *plr__stash_weights(const plr_shard *s, const plr_slot *slot);
void plr__stash_done(plr_shard *s, plr_slot *slot);

/* ---- executor.c ------------------------------------------------------------------------------- */

/* One run of a list. */
typedef struct plr_run {
  plr_shard *shard;
  plr_list list;
  float *slot;
  int64_t batch, seq;
  /* Of rows that belong to sessions, batch being 1: each row's position (device), and a value that lies elsewhere
   * than the plan says, unless moved is NULL. */
  const int32_t *positions;
  float *moved;
  uint32_t moved_value;
  float *weights; /* other weights than the newest, or NULL */
} plr_run;

/* Bytes of work space that any node of any list asks for, for this batch and length. */
size_t plr__shard_work_size(plr_shard *s, int64_t batch, int64_t seq);
plr_status plr__run_list(const plr_run *run);
plr_status plr__run_node(const plr_run *run, const plr_node *node);
/* What an ATTENTION node is run with, without its work space. */
void plr__run_attention_args(const plr_run *run, const plr_node *node, plr_attention_args *out);
/* At least so many bytes of work space; so many rows in the tables of rotary positions. */
plr_status plr__shard_reserve_work(plr_shard *s, size_t size);
plr_status plr__shard_reserve_positions(plr_shard *s, int64_t positions);
/* Device memory of a value in this run. */
float *plr__run_value(const plr_run *run, uint32_t value);
/* NON_FINITE unless all rows of the value are finite. */
plr_status plr__run_check_finite(const plr_run *run, uint32_t value);

/* ---- pack.c ----------------------------------------------------------------------------------- */

/* Decides which parameters are packed, and where. */
plr_status plr__pack_plan(plr_shard *s);
/* Between begin and end parameters may be set: fp32 numbers go to plr__pack_weight (device), then done is called. */
plr_status plr__pack_begin(plr_shard *s);
void plr__pack_end(plr_shard *s);
float *plr__pack_weight(const plr_shard *s, const plr_state *state, uint32_t param);
plr_status plr__pack_done(const plr_shard *s, const plr_state *state, uint32_t param);
/* Runs the first of `count` nodes if it uses a packed parameter, and with it those that follow and share its input:
 * how many; *st is set when there are any. */
uint32_t plr__run_packed(const plr_run *run, const plr_node *nodes, uint32_t count, plr_status *st);
/* Runs the first of `count` nodes, or more: how many. */
uint32_t plr__run_nodes(const plr_run *run, const plr_node *nodes, uint32_t count, plr_status *st);

/* ---- session.c -------------------------------------------------------------------------------- */

void plr__serving_free(plr_shard *s);
/* Whether there are sessions, the last of which will then destroy the shard. */
int plr__serving_orphan(plr_shard *s);

/* ---- checks, copies --------------------------------------------------------------------------- */

/* A contiguous F32 matrix rows x cols; with want 0 it must be NULL. SHAPE when not. */
plr_status plr__shard_check_matrix(const plr_tensor *t, int64_t rows, int64_t cols, int want);
plr_status plr__run_put(const plr_run *run, uint32_t value, const void *host);
/* The positions of the run's rows, when the shard has learned ones: t of row (b, t). */
plr_status plr__run_put_positions(const plr_run *run);
plr_status plr__run_get(const plr_run *run, uint32_t value, void *host);
/* Sums n losses from a value of one column, in order. NON_FINITE. */
plr_status plr__run_loss(const plr_run *run, double *loss_sum);

/* ---- state ------------------------------------------------------------------------------------ */

plr_status plr__state_alloc(plr_shard *s, plr_state *out);
void plr__state_free(plr_shard *s, plr_state *state);
/* Forgets gradients and micro-batches in flight. */
void plr__shard_reset(plr_shard *s);

/* The initial values of a parameter, from the model's seed. */
plr_status plr__shard_seed(plr_shard *s, uint32_t param);
/* All weights, from a checkpoint (import.c). */
plr_status plr__shard_import(plr_shard *s, plr_weights *weights, plr_error *err);

/* Learning rate of the step that follows `done` steps. */
float plr__learning_rate(const plr_model_info *info, uint64_t done);

/* ---- optimizer.c ------------------------------------------------------------------------------ */

/* Which operation updates a parameter, and how many second moments it keeps. */
plr_op_id plr__optimizer_op(const plr_model_info *info, const plr_param *p);
int64_t plr__optimizer_seconds(const plr_model_info *info, const plr_param *p);
/* UNSUPPORTED when the device lacks an operation that a step would need. */
plr_status plr__optimizer_check(const plr_shard *s, plr_error *err);
size_t plr__optimizer_work_size(plr_shard *s);
/* Numbers of the step that follows `done` steps (EXACT.md, section 7). */
typedef struct plr_rates {
  float lr, muon_lr, beta1, mu_now, mu_next, correction1, correction1_next, correction2;
  double power1, power2; /* after this step */
} plr_rates;
void plr__optimizer_rates(const plr_shard *s, plr_rates *out);
/* Updates one parameter from its gradient times grad_scale. */
plr_status plr__optimizer_update(plr_shard *s, uint32_t param, const plr_rates *rates,
                                 float grad_scale);

/* Passes n floats of device memory to `put` as little-endian bytes, a piece at a time. */
typedef plr_status (*plr_put_fn)(void *user, const void *data, size_t len);
plr_status plr__shard_read_floats(plr_shard *s, const float *from, int64_t n, plr_put_fn put,
                                  void *user);
void plr__double_le(void *out, double x);

/* ---- leaves.c --------------------------------------------------------------------------------- */

/* What is kept of a parameter. */
enum { PLR_PART_WEIGHT = 0, PLR_PART_FIRST, PLR_PART_SECOND, PLR_PARTS };
/* Device memory of a part, and how many numbers it has. */
float *plr__state_part(const plr_shard *s, const plr_state *state, uint32_t param, uint32_t part,
                       int64_t *count);
/* SHA-256 of each part as little-endian bytes. */
plr_status plr__shard_hash_param(plr_shard *s, uint32_t param, plr_hash out[PLR_PARTS]);
/* A leaf from the hashes of its tensors: begin, then each tensor of the block, then plr__sha256_final. */
void plr__leaf_begin(plr_sha256_state *leaf, uint32_t block, const plr_state *state,
                     uint32_t tensors);
void plr__leaf_param(plr_sha256_state *leaf, const plr_param *p, const plr_hash parts[PLR_PARTS]);
/* End of the run of parameters that belong to a block and start at `first`. */
uint32_t plr__shard_block_end(const plr_shard *s, uint32_t block, uint32_t first);
/* Length of name, name, rows, columns. Returns the length. */
#define PLR_PARAM_HEADER_MAX (sizeof(((plr_param *)0)->name) + 18)
size_t plr__param_header(const plr_param *p, uint8_t out[PLR_PARAM_HEADER_MAX]);

/* Makes host floats little-endian, or back; nothing on most machines. */
void plr__floats_le(void *data, size_t count);

#endif
