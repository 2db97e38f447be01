/* A model's blocks as a designer wrote them: lists of operations, checked, with names resolved. Both formats of the
 * manifest, the families and the builder end here; the graph is made from it. */
#ifndef PLR_MODEL_PROGRAM_H
#define PLR_MODEL_PROGRAM_H

#include <pluralis/model.h>

#include "base/base.h"

#define PLR_OP_NAME_MAX  40u      /* bytes of a parameter's name */
#define PLR_OUT_NAME_MAX 24u      /* bytes of a value's name */
#define PLR_LIST_MAX     256u     /* operations of a list */
#define PLR_PROGRAM_MAX  65536u   /* operations of a model, repeats counted */
#define PLR_COLS_MAX     1048576u /* columns of a value */
#define PLR_TENSOR_MAX   (INT64_C(1) << 40) /* elements of a parameter */

/* One operation. Operand 0 is what enters the list, i + 1 the result of operation i of the same list. */
typedef struct plr_op {
  plr_op_desc d; /* its numbers; pointers are NULL */
  uint32_t in[3];
  int64_t cols;  /* of the result */
  char name[PLR_OP_NAME_MAX + 1];
  char out[PLR_OUT_NAME_MAX + 1]; /* empty once the list is complete: names of values mean nothing outside */
} plr_op;

typedef struct plr_op_list {
  uint32_t first, count; /* operations, in plr_program.ops */
  uint32_t repeat;       /* of a block: how many follow one another */
  uint32_t result;       /* operand that leaves the list */
} plr_op_list;

typedef struct plr_program {
  plr_context *ctx;
  uint32_t d_model, vocab;
  plr_op *ops;
  uint32_t op_count, op_cap;
  plr_op_list embed, head;
  plr_op_list *blocks; /* kinds of block; neighbours differ */
  uint32_t kind_count, kind_cap;
  uint32_t block_count; /* repeats counted */
  uint32_t total;       /* operations, repeats counted */

  /* While it is written. */
  uint32_t part;        /* PLR_PART_*; 0 before the first */
  uint32_t written;     /* kinds of block as they were written, for messages */
  uint32_t params;      /* of the list */
  plr_op_list list;     /* being written */
} plr_program;

void plr__program_init(plr_program *p, plr_context *ctx, uint32_t d_model, uint32_t vocab);
void plr__program_release(plr_program *p);

/* A refused operation changes nothing; after another failure the program can only be released.
 * Begins a list, which ends the one before: embed, then one or more kinds of block, then head. Errors name the place
 * as the manifest does ("manifest.blocks[0].ops[3].cols"). MALFORMED, LIMIT, NO_MEMORY, INVALID_ARGUMENT (order). */
plr_status plr__program_begin(plr_program *p, uint32_t part, uint32_t repeat, plr_error *err);
plr_status plr__program_add(plr_program *p, const plr_op_desc *desc, plr_error *err);
plr_status plr__program_finish(plr_program *p, plr_error *err);

/* Operations of block b. */
const plr_op_list *plr__program_block(const plr_program *p, uint32_t block);
/* The largest table of learned positions that seq_len has to fit: the smallest count; 0 when there is none. */
uint32_t plr__program_positions(const plr_program *p);

/* ---- what an operation may have --------------------------------------------------------------- */

typedef enum plr_key_kind {
  PLR_KEY_VALUE, /* name of a value: const char * */
  PLR_KEY_OUT,
  PLR_KEY_NAME, /* of a parameter */
  PLR_KEY_WHOLE,
  PLR_KEY_REAL,
  PLR_KEY_FLAG,
  PLR_KEY_ACT,
  PLR_KEY_SCALING
} plr_key_kind;

typedef struct plr_layer_key {
  const char *key; /* in the manifest */
  plr_key_kind kind;
  uint32_t optional;
  size_t offset; /* in plr_op_desc */
  double min, max;
} plr_layer_key;

typedef struct plr_layer {
  const char *name;
  uint32_t op; /* PLR_LAYER_* */
  uint32_t key_count;
  const plr_layer_key *keys;
} plr_layer;

/* NULL when there is none. */
const plr_layer *plr__layer(uint32_t op);
const plr_layer *plr__layer_named(const char *name);
/* The keys of a way of scaling (PLR_SCALING_*), NULL for none; name "linear", "llama3", "yarn". */
const plr_layer *plr__scaling(uint32_t scaling);
const plr_layer *plr__scaling_named(const char *name);

#endif
