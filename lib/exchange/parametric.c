/* What the encoder and the decoder of parametric frames share. */
#include "exchange/parametric.h"

plr__dither_key plr__dither_key_of(const plr_frame_info *info) {
  plr__dither_key k = {{(uint32_t)info->seed ^ info->stream, (uint32_t)(info->seed >> 32)},
                       info->step,
                       info->micro_batch};
  return k;
}

void plr__parametric_centroids(int32_t centroid[2 * PLR_MODEL_INDEXES * PLR_MODEL_CENTROID],
                               uint32_t quant) {
  for (uint32_t i = 0; i < 2 * PLR_MODEL_INDEXES; i++) {
    const uint32_t table = i % PLR_MODEL_INDEXES, second = i / PLR_MODEL_INDEXES;
    for (uint32_t m = 0; m < PLR_MODEL_CENTROID; m++) {
      const uint32_t row = table * PLR_MODEL_CENTROID + m;
      int32_t v = 0;
      if (table < PLR_MODEL_TABLES && quant == PLR_QUANT_UNIFORM)
        v = plr__model.centroids[row];
      else if (table < PLR_MODEL_TABLES && quant == PLR_QUANT_TRELLIS)
        v = 2 * plr__model.trellis_centroids[second * PLR_MODEL_TABLES * PLR_MODEL_CENTROID + row];
      centroid[i * PLR_MODEL_CENTROID + m] = v;
    }
  }
}

void plr__parametric_limits(int32_t limit[2 * PLR_MODEL_INDEXES], uint32_t quant) {
  const uint32_t first = plr__parametric_family(quant), last = plr__parametric_families(quant) - 1;
  for (uint32_t i = 0; i < 2 * PLR_MODEL_INDEXES; i++) {
    const uint32_t family = first + PLR_MIN(i / PLR_MODEL_INDEXES, last);
    limit[i] = plr__model.limits[family * PLR_MODEL_TABLES + plr__model_table(i & 127u)];
  }
}
