/* How many bytes a training step puts on the links between stages, before any is trained. */
#ifndef TRAIN_TRAFFIC_H
#define TRAIN_TRAFFIC_H

#include <pluralis/exchange.h>
#include <pluralis/model.h>

struct traffic_shape {
  uint32_t stages, rows, seq_len, micro_batches; /* rows: sequences of a micro-batch */
  uint32_t d_model, width, vocab;                /* width: values a token on the wire */
  uint64_t data_seed;
};

/* Expected compression: dense bf16 bytes of what crosses, both directions, by all bytes sent
 * there. Tensor frames are measured on Gaussian noise with the codec itself, token frames on
 * micro-batches of the corpus; what is signed and said besides comes from the formats. 0, or -1
 * when the codec does not take such tensors. */
int traffic_expected_ratio(plr_context *ctx, const struct traffic_shape *shape, const char *codec,
                           const plr_corpus *corpus, double *ratio);

/* Bytes of one micro-batch in one direction of one link as dense bf16. */
uint64_t traffic_dense_bytes(const plr_model_info *info);

#endif
