/* The safetensors file format: tensors by name in one file, read by range and written front to back.
 *
 *   u64 header length, little-endian | header: JSON | data
 *   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"key": "text"}}
 *
 * Offsets count from the first byte after the header. README.md says what is refused. */
#ifndef PLR_SHARD_SAFETENSORS_H
#define PLR_SHARD_SAFETENSORS_H

#include <pluralis/tensor.h>

#include "base/base.h"

/* Most dimensions of a tensor, and bytes of a header (also bounded by the context's max_file). */
#define PLR_ST_DIMS       8u
#define PLR_ST_MAX_HEADER 100000000u

/* An element type of the format: its name, bytes per element, and ours (0: none of ours, only its bytes can be
 * read). */
typedef struct plr_st_dtype {
  char name[12];
  uint32_t size, dtype;
} plr_st_dtype;

typedef struct plr_st_tensor {
  const char *name;
  const plr_st_dtype *type;
  uint32_t ndim, reserved;
  int64_t shape[PLR_ST_DIMS];
  int64_t count;         /* elements */
  uint64_t offset, size; /* bytes, offset from the start of the file */
} plr_st_tensor;

typedef struct plr_st_pair {
  const char *key, *value;
} plr_st_pair;

/* ---- reading ---------------------------------------------------------------------------------- */

/* A file whose header was read and found whole: every byte of its data belongs to exactly one tensor. */
typedef struct plr_st_file {
  plr_context *ctx;
  plr_source source; /* borrowed: never closed here */
  char where[64];    /* how messages call the file */
  char *header;      /* names and texts live in it */
  plr_st_tensor *tensors; /* by name, ascending */
  plr_st_pair *metadata;  /* by key, ascending */
  uint32_t tensor_count, metadata_count;
} plr_st_file;

/* Reads and checks the header: size of the header's bytes plus 8, and no byte of the data. *out is released on
 * failure. Errors: MALFORMED, TRUNCATED, UNSUPPORTED (a dtype the format does not have), LIMIT, NO_MEMORY, the
 * source's. */
plr_status plr__st_open(plr_context *ctx, const plr_source *source, const char *where,
                        plr_st_file *out, plr_error *err);
void plr__st_release(plr_st_file *file);

/* NULL when there is none. */
const plr_st_tensor *plr__st_find(const plr_st_file *file, const char *name);
const char *plr__st_metadata(const plr_st_file *file, const char *key);

/* Bytes [from, from + len) of a tensor. Errors: INVALID_ARGUMENT (outside of it), the source's. */
plr_status plr__st_read(const plr_st_file *file, const plr_st_tensor *t, uint64_t from, void *buf,
                        size_t len, plr_error *err);

/* The type by its number of ours, or NULL. */
const plr_st_dtype *plr__st_dtype(uint32_t dtype);

/* ---- writing ---------------------------------------------------------------------------------- */

/* Declare every tensor and metadata text, begin (writes the header), then give the data of each tensor in the order
 * of declaration, in pieces of any size, and end, which checks that all of it came. Neither commits nor aborts the
 * sink. The first failure sticks. */
typedef struct plr_st_writer {
  plr_context *ctx;
  plr_sink *sink;
  plr_buffer tensors, metadata; /* members of the header's objects, with their commas */
  uint64_t declared, written;   /* bytes of data */
  plr_status failed;
  uint32_t reserved;
} plr_st_writer;

void plr__st_writer_init(plr_st_writer *w, plr_context *ctx, plr_sink *sink);
void plr__st_writer_release(plr_st_writer *w);
/* dtype: PLR_DTYPE_*. Names must differ and be UTF-8; that is the caller's care. */
void plr__st_writer_tensor(plr_st_writer *w, const char *name, uint32_t dtype, uint32_t ndim,
                           const int64_t *shape);
void plr__st_writer_text(plr_st_writer *w, const char *key, const char *value);
plr_status plr__st_writer_begin(plr_st_writer *w);
/* Little-endian bytes. Also a plr_put_fn. */
plr_status plr__st_writer_data(void *writer, const void *data, size_t len);
plr_status plr__st_writer_end(plr_st_writer *w);

#endif
