/* What every folder may use from base: memory, errors, log, bytes, hashes, random numbers, threads,
 * limits. */
#ifndef PLR_BASE_BASE_H
#define PLR_BASE_BASE_H

#include <pluralis/base.h>
#include <pluralis/identity.h>
#include <pluralis/io.h>

#if defined(__GNUC__)
#define PLR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PLR_NODISCARD         __attribute__((warn_unused_result))
#else
#define PLR_PRINTF(fmt, args)
#define PLR_NODISCARD
#endif

#define PLR_MIN(a, b)       ((a) < (b) ? (a) : (b))
#define PLR_MAX(a, b)       ((a) > (b) ? (a) : (b))
#define PLR_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Returns st from the function when it is a failure. */
#define PLR_TRY(expr)                                                                              \
  do {                                                                                             \
    plr_status plr_try_status_ = (expr);                                                           \
    if (plr_try_status_ != PLR_OK) return plr_try_status_;                                         \
  } while (0)

/* ---- context --------------------------------------------------------------------------------- */

/* Children hold a reference. */
plr_context *plr__context_ref(plr_context *ctx);
void plr__context_unref(plr_context *ctx);

uint64_t plr__max_frame(const plr_context *ctx);
uint64_t plr__max_file(const plr_context *ctx);

/* ---- errors ---------------------------------------------------------------------------------- */

/* Fills *err (may be NULL) and returns st, so that `return plr__fail(...)` reads well. */
plr_status plr__fail(plr_error *err, plr_status st, const char *where, const char *fmt, ...)
    PLR_PRINTF(4, 5);
plr_status plr__fail_at(plr_error *err, plr_status st, const char *where, uint64_t offset,
                        const char *fmt, ...) PLR_PRINTF(5, 6);
plr_status plr__no_memory(plr_error *err, const char *where);

/* Reads a caller's option struct of any version into `out` (size known), which already holds the
 * defaults. See base.h on struct_size. */
plr_status plr__options_read(void *out, uint32_t known_size, const void *options, const char *where,
                             plr_error *err);
/* Writes min(struct_size, known_size) bytes of defaults to a caller's struct and sets its
 * struct_size. */
void plr__options_init(void *options, uint32_t struct_size, void *defaults, uint32_t known_size);
/* Fills a caller's struct of any version from `full`: as many bytes as its struct_size says, zero past
 * what we know. A struct_size of 0 stands for first_size, that of the struct's first version, and
 * becomes it. INVALID_ARGUMENT, and nothing written, when struct_size cannot be one. */
plr_status plr__record_write(void *record, const void *full, uint32_t known_size,
                             uint32_t first_size);

/* ---- log ------------------------------------------------------------------------------------- */

void plr__log(plr_context *ctx, uint32_t level, const char *module, const char *fmt, ...)
    PLR_PRINTF(4, 5);

/* ---- memory ---------------------------------------------------------------------------------- */

/* 64-byte aligned; NULL when out of memory or over max_memory. A size of 0 gives a valid block. */
void *plr__alloc(plr_context *ctx, size_t size) PLR_NODISCARD;
/* Zeroed, overflow-checked. */
void *plr__calloc(plr_context *ctx, size_t count, size_t size) PLR_NODISCARD;
/* Grows or shrinks; on failure returns NULL and the old block stays valid. ptr may be NULL. */
void *plr__realloc(plr_context *ctx, void *ptr, size_t new_size) PLR_NODISCARD;
char *plr__strdup(plr_context *ctx, const char *text) PLR_NODISCARD;
void plr__free(plr_context *ctx, void *ptr); /* NULL is fine */

/* As plr__alloc, for a call that has no object to keep its memory in: give leaves the block with the
 * context, which hands it to the next taker if it is large enough, so that repeated calls allocate
 * nothing. The context keeps one such block; threads that overlap allocate. */
void *plr__scratch_take(plr_context *ctx, size_t size) PLR_NODISCARD;
void plr__scratch_give(plr_context *ctx, void *scratch); /* NULL is fine */

/* A growing byte buffer; `failed` sticks after the first failed allocation, so that writers check
 * once. */
typedef struct plr_buffer {
  plr_context *ctx;
  uint8_t *data;
  size_t len, cap;
  uint32_t failed, reserved;
} plr_buffer;

void plr__buffer_init(plr_buffer *b, plr_context *ctx);
void plr__buffer_release(plr_buffer *b);
void plr__buffer_clear(plr_buffer *b); /* keeps the capacity */
plr_status plr__buffer_reserve(plr_buffer *b, size_t extra);
void plr__buffer_put(plr_buffer *b, const void *data, size_t len);
void plr__buffer_u8(plr_buffer *b, uint8_t v);
void plr__buffer_le16(plr_buffer *b, uint16_t v);
void plr__buffer_le32(plr_buffer *b, uint32_t v);
void plr__buffer_le64(plr_buffer *b, uint64_t v);
void plr__buffer_be16(plr_buffer *b, uint16_t v);
void plr__buffer_be32(plr_buffer *b, uint32_t v);
void plr__buffer_be64(plr_buffer *b, uint64_t v);
/* The NUL is not counted. */
plr_status plr__buffer_printf(plr_buffer *b, const char *fmt, ...) PLR_PRINTF(2, 3);

/* ---- files (file.c) --------------------------------------------------------------------------- */

/* Makes the folders above the last part of path, where they are missing; path is as before afterwards. */
plr_status plr__make_folders(char *path, plr_error *err);

/* ---- bytes ----------------------------------------------------------------------------------- */

static inline uint16_t plr__load_le16(const void *p) {
  const uint8_t *b = (const uint8_t *)p;
  return (uint16_t)(b[0] | (uint16_t)(b[1] << 8));
}
static inline uint32_t plr__load_le32(const void *p) {
  const uint8_t *b = (const uint8_t *)p;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t plr__load_le64(const void *p) {
  return (uint64_t)plr__load_le32(p) | (uint64_t)plr__load_le32((const uint8_t *)p + 4) << 32;
}
static inline void plr__store_le16(void *p, uint16_t v) {
  uint8_t *b = (uint8_t *)p;
  b[0] = (uint8_t)v, b[1] = (uint8_t)(v >> 8);
}
static inline void plr__store_le32(void *p, uint32_t v) {
  uint8_t *b = (uint8_t *)p;
  b[0] = (uint8_t)v, b[1] = (uint8_t)(v >> 8), b[2] = (uint8_t)(v >> 16), b[3] = (uint8_t)(v >> 24);
}
static inline void plr__store_le64(void *p, uint64_t v) {
  plr__store_le32(p, (uint32_t)v);
  plr__store_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t plr__load_be16(const void *p) {
  const uint8_t *b = (const uint8_t *)p;
  return (uint16_t)((uint16_t)(b[0] << 8) | b[1]);
}
static inline uint32_t plr__load_be32(const void *p) {
  const uint8_t *b = (const uint8_t *)p;
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}
static inline uint64_t plr__load_be64(const void *p) {
  return (uint64_t)plr__load_be32(p) << 32 | plr__load_be32((const uint8_t *)p + 4);
}
static inline void plr__store_be16(void *p, uint16_t v) {
  uint8_t *b = (uint8_t *)p;
  b[0] = (uint8_t)(v >> 8), b[1] = (uint8_t)v;
}
static inline void plr__store_be32(void *p, uint32_t v) {
  uint8_t *b = (uint8_t *)p;
  b[0] = (uint8_t)(v >> 24), b[1] = (uint8_t)(v >> 16), b[2] = (uint8_t)(v >> 8), b[3] = (uint8_t)v;
}
static inline void plr__store_be64(void *p, uint64_t v) {
  plr__store_be32(p, (uint32_t)(v >> 32));
  plr__store_be32((uint8_t *)p + 4, (uint32_t)v);
}

/* A reader that never runs past its end: after the first short read `failed` sticks and reads give
 * 0. A parser ends with plr__reader_done, which also refuses bytes left over. */
typedef struct plr_reader {
  const uint8_t *data;
  size_t len, pos;
  uint32_t failed, reserved;
} plr_reader;

void plr__reader_init(plr_reader *r, const void *data, size_t len);
const uint8_t *plr__read_bytes(plr_reader *r, size_t len); /* into the input; NULL when short */
uint8_t plr__read_u8(plr_reader *r);
uint16_t plr__read_le16(plr_reader *r);
uint32_t plr__read_le32(plr_reader *r);
uint64_t plr__read_le64(plr_reader *r);
uint16_t plr__read_be16(plr_reader *r);
uint32_t plr__read_be32(plr_reader *r);
uint64_t plr__read_be64(plr_reader *r);
int plr__reader_done(const plr_reader *r); /* 1: nothing failed and nothing is left */

/* Standard base64 with padding. encode writes 4*ceil(len/3) characters and a NUL. decode refuses
 * anything not canonical; returns the length or -1. */
size_t plr__base64_encode(const void *data, size_t len, char *out);
int64_t plr__base64_decode(const char *text, size_t len, uint8_t *out, size_t cap);
void plr__hex_encode(const void *data, size_t len, char *out); /* 2*len characters and a NUL */
/* Bytes of the UTF-8 character at text, of which `left` are there (RFC 3629: no overlong form, no surrogate, at most
 * U+10FFFF); 0 when it is none. */
size_t plr__utf8_length(const void *text, size_t left);

/* ---- hashes ---------------------------------------------------------------------------------- */

typedef struct plr_sha256_state { /* large enough for libcrypto's; on the stack, no allocation */
  uint64_t opaque[16];
} plr_sha256_state;

void plr__sha256_init(plr_sha256_state *s);
void plr__sha256_update(plr_sha256_state *s, const void *data, size_t len);
void plr__sha256_final(plr_sha256_state *s, plr_hash *out);
/* Castagnoli, reflected; starts with 0. */
uint32_t plr__crc32c(uint32_t crc, const void *data, size_t len);
uint64_t plr__xxh3_64(const void *data, size_t len);
int plr__hash_equal(const plr_hash *a, const plr_hash *b);

/* RFC 6962 Merkle tree hash over n leaf hashes (already SHA256(00‖entry)); empty tree = SHA256("").
 * Works in place of a copy: `leaves` is overwritten. */
void plr__merkle_leaf(const void *data, size_t len, plr_hash *out);
void plr__merkle_node(const plr_hash *left, const plr_hash *right, plr_hash *out);
void plr__merkle_root(plr_hash *leaves, size_t n, plr_hash *out);

/* plr_verify without the check of the key's point, for a key that was checked when its account was
 * opened. */
plr_status plr__verify_known(const uint8_t public_key[32], const void *data, size_t len,
                             const uint8_t signature[64]);
/* Up to PLR__VERIFY_MANY of these at once, with the same verdicts: bit i is set when item i verifies. Where the
 * processor has wide integer multiplication (AVX-512 IFMA) eight take the time of about two. */
#define PLR__VERIFY_MANY 8u
typedef struct plr__signed {
  const uint8_t *key, *signature, *message;
  size_t len; /* of the message */
} plr__signed;
uint32_t plr__verify_known_many(const plr_context *ctx, const plr__signed *items, uint32_t n);


/* ---- random numbers -------------------------------------------------------------------------- */

/* Philox4x32-10 (Salmon et al., SC'11). */
void plr__philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Index in [0, range) from 64 random bits: mulhi(bits, range). */
static inline uint64_t plr__mulhi64(uint64_t bits, uint64_t range) {
  __extension__ typedef unsigned __int128 plr_u128;
  return (uint64_t)(((plr_u128)bits * range) >> 64);
}

/* ---- threads and floating point -------------------------------------------------------------- */

/* Runs fn(arg, 0) .. fn(arg, n-1), in any order, on whichever threads have time. Nested calls run serially. The
 * caller takes part. Every worker runs with the floating-point environment of profile `exact`. In a child made by
 * fork a context works on the caller's thread alone.
 *
 * Who runs a task depends on what else the machine does, so a task's result must not; and operations make more
 * tasks than there are threads, so that a thread that has lost its processor holds up little. */
void plr__parallel_for(plr_context *ctx, uint32_t n, void (*fn)(void *arg, uint32_t index),
                       void *arg);

/* The same for tasks that need scratch: lane < plr_context_threads(ctx), and tasks that run at one time have
 * different lanes. */
void plr__parallel_lanes(plr_context *ctx, uint32_t n,
                         void (*fn)(void *arg, uint32_t index, uint32_t lane), void *arg);

/* Sets round to nearest, denormals kept, exceptions masked; returns the old state, which leave
 * restores. */
typedef uint64_t plr_fpenv;
plr_fpenv plr__fpenv_enter(void);
void plr__fpenv_leave(plr_fpenv saved);

#endif
