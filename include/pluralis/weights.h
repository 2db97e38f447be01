/* libpluralis: the weights of a published model: files of the safetensors format, one or many with an index.
 *
 * A shard reads the bytes of its own tensors and no others: the index says which file a tensor is in, and a file's
 * header where. Element types F32, F16 and BF16 are read; the arithmetic is F32. Every file that is not whole and
 * sound is refused with a message that names what and where (lib/shard/README.md lists the rules).
 *
 *   plr_weights_open_path(ctx, "smollm2", &weights, &err);
 *   options.weights = weights;                              instead of seeded initial weights
 *   plr_shard_create(ctx, model, &options, &shard, &err);
 */
#ifndef PLURALIS_WEIGHTS_H
#define PLURALIS_WEIGHTS_H

#include <pluralis/io.h>
#include <pluralis/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The files of a checkpoint, opened for reading. */
typedef struct plr_weights plr_weights;

/* Gives files by name: open gives the file `name` that an index lists, which never holds a path. *out is closed by the
 * weights. */
typedef struct plr_source_opener {
  void *user;
  plr_status (*open)(void *user, const char *name, plr_source *out);
} plr_source_opener;

/* Most dimensions of a tensor in a file. */
#define PLR_WEIGHTS_DIMS 8

/* A tensor of a checkpoint. Set struct_size before the call that fills it; name and file live as long as the weights.
 * dtype: PLR_DTYPE_*, or 0 for a type that a model is never read from. shape: ndim sizes; bytes: in the file. */
typedef struct plr_weights_tensor {
  uint32_t struct_size;
  uint32_t dtype;
  uint32_t ndim, reserved;
  int64_t shape[PLR_WEIGHTS_DIMS];
  uint64_t bytes;
  const char *name;
  const char *file; /* "" when there is no index */
} plr_weights_tensor;

/* Opens a checkpoint of one file. The source is the library's from here on, closed by plr_weights_destroy or on
 * failure. Reads the header only. Errors: MALFORMED, TRUNCATED, UNSUPPORTED, LIMIT, NO_MEMORY, the source's.
 * Since 0.1. */
PLR_API plr_status plr_weights_open(plr_context *ctx, const plr_source *source, plr_weights **out, plr_error *err);

/* Opens a checkpoint of many files by its index (the text of model.safetensors.index.json). A file is asked of the
 * opener, which is copied, when the first of its tensors is needed. Errors: MALFORMED, LIMIT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_weights_open_index(plr_context *ctx, const char *json, size_t len,
                                          const plr_source_opener *opener, plr_weights **out, plr_error *err);

/* Opens a safetensors file, or a folder that holds model.safetensors.index.json or model.safetensors. Errors: as
 * above, and NOT_FOUND. Since 0.1. */
PLR_API plr_status plr_weights_open_path(plr_context *ctx, const char *path, plr_weights **out, plr_error *err);
PLR_API void plr_weights_destroy(plr_weights *weights);

/* Tensors in all. Since 0.1. */
PLR_API uint32_t plr_weights_count(const plr_weights *weights);

/* Fills *info for tensor i, 0 <= i < count, by name ascending; opens its file when it was not. Errors:
 * INVALID_ARGUMENT, and those of opening. Since 0.1. */
PLR_API plr_status plr_weights_get(plr_weights *weights, uint32_t i, plr_weights_tensor *info, plr_error *err);

/* Writes the index of a checkpoint of `count` safetensors files: names[i] is the file name of sources[i], whose
 * header is read. The sink is committed on success and aborted on failure; the sources are not closed. Errors:
 * MALFORMED (also a tensor that two files hold, a name with a path), TRUNCATED, NO_MEMORY, those of the sources and
 * the sink. Since 0.1. */
PLR_API plr_status plr_weights_write_index(plr_context *ctx, const char *const *names, const plr_source *sources,
                                           uint32_t count, plr_sink *sink, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
