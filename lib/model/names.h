/* Where the parameters of a model are in a published checkpoint: the names and layouts of its family. */
#ifndef PLR_MODEL_NAMES_H
#define PLR_MODEL_NAMES_H

#include "model/model.h"

/* How a checkpoint names its tensors. OURS: a model that its designer described is kept under its own names and
 * layout. */
typedef enum plr_naming {
  PLR_NAMES_OURS = 0,
  PLR_NAMES_LLAMA, /* Llama, Mistral, Qwen2, Qwen3, SmolLM2 */
  PLR_NAMES_MIXTRAL,
  PLR_NAMES_QWEN3_MOE,
  PLR_NAMES_GPT2,
  PLR_NAMES_COUNT
} plr_naming;

/* The published checkpoint that a model was made from; all zero for one that its designer described. */
typedef struct plr_origin {
  uint32_t naming;  /* plr_naming */
  uint32_t tied;    /* its head is its embedding */
  uint32_t experts; /* of a mixture */
  uint32_t reserved;
  char *config; /* config.json of what we write; NUL-terminated, the model's */
} plr_origin;

/* A tensor of the checkpoint that holds a parameter or one of its pieces. A piece is rows / pieces rows of ours (an
 * expert of a mixture); most parameters are one piece. */
typedef struct plr_foreign {
  char name[96];
  uint32_t transposed;  /* theirs is outputs x inputs, ours inputs x outputs */
  uint32_t vector;      /* theirs has one dimension, ours is 1 x cols */
  uint32_t part, parts; /* theirs holds `parts` matrices of our shape side by side; ours is number `part` */
} plr_foreign;

/* Number of pieces of a parameter; 0 when the family's checkpoints have nothing for it (a trained boundary). */
uint32_t plr__foreign_pieces(const plr_model *model, const plr_param *p);

/* Piece i. The head of a checkpoint with tied embeddings is read from the embedding, but written by itself: our
 * models are never tied, because the two ends live on different machines. */
void plr__foreign_read(const plr_model *model, const plr_param *p, uint32_t i, plr_foreign *out);
void plr__foreign_write(const plr_model *model, const plr_param *p, uint32_t i, plr_foreign *out);

/* A second spelling of a name that checkpoints of the family may use instead, or NULL. */
const char *plr__foreign_other(const plr_model *model, const plr_foreign *t);

#endif
