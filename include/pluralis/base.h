/* libpluralis: the base every other header stands on.
 *
 * Version, status, error detail, and the context: the one object through which a host lends the library
 * memory, threads, a log and limits. There is no global state and no init function.
 *
 *   plr_context_options o;
 *   plr_context_options_init(&o, sizeof o);
 *   o.threads = 2;
 *   plr_context *ctx;
 *   if (plr_context_create(&o, &ctx, NULL) != PLR_OK) ...
 *   ...
 *   plr_context_destroy(ctx);
 *
 * Conventions that hold in every header
 *   - handles are opaque; `plr_x_create` sets *out to NULL on failure, `plr_x_destroy(NULL)` does nothing;
 *   - children keep a reference to their context, so handles may be destroyed in any order;
 *   - option structs start with struct_size and are filled by their `_init` function first. A struct larger
 *     than the library knows is accepted while its unknown tail is zero, else PLR_ERR_UNSUPPORTED;
 *   - structs that the library fills (what a thing is, what it counted) start with struct_size too, set by the
 *     caller: so many bytes are written, those that the library does not know are zero;
 *   - a context may be shared by threads; any other handle is used by one thread at a time; functions that
 *     take a const handle may run at the same time as each other. A library built without NDEBUG notices when it is
 *     not so: the second call is refused with PLR_ERR_INVALID_STATE and logged;
 *   - `plr_error *err` may be NULL; it is only on cold functions and is written on failure only;
 *   - memory passed in stays the caller's and is not kept after return, unless a comment says "borrowed until".
 */
#ifndef PLURALIS_BASE_H
#define PLURALIS_BASE_H

#include <stddef.h>
#include <stdint.h>

#include <pluralis/status.h>

#if defined(PLR_STATIC)
#define PLR_API
#elif defined(__GNUC__)
#define PLR_API __attribute__((visibility("default")))
#else
#define PLR_API
#endif

/* Version of these headers; plr_version is that of the library. */
#define PLR_VERSION_MAJOR 0
#define PLR_VERSION_MINOR 1
#define PLR_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library that is running, as (major << 16) | (minor << 8) | patch. Since 0.1. */
PLR_API uint32_t plr_version(void);

/* Name ("PLR_ERR_LIMIT") and one-line text of a status; static strings, never NULL, for any value. Since 0.1. */
PLR_API const char *plr_status_name(plr_status status);
PLR_API const char *plr_status_message(plr_status status);

/* Detail of a failure, owned by the caller and valid as long as the caller keeps it.
 * status: as the function returned it.
 * where: what was being read or checked ("manifest.cuts[2]", "frame header", a path).
 * offset: byte offset in the input, when there is one; else 0.
 * message: one line, NUL-terminated, UTF-8. Never allocated. */
typedef struct plr_error {
  uint32_t struct_size; /* set by plr_error_init; 0 stands for the size in 0.1 */
  int32_t status;
  uint64_t offset;
  char where[64];
  char message[240];
} plr_error;

/* Clears *err. struct_size: sizeof(plr_error) as the caller compiled it. Since 0.1. */
PLR_API void plr_error_init(plr_error *err, uint32_t struct_size);

/* A SHA-256 value: its 32 bytes. */
typedef struct plr_hash {
  uint8_t bytes[32];
} plr_hash;

/* Host allocator. align is a power of two <= 4096. `user` is passed through. All three are called from any
 * thread that uses the context. alloc returns NULL on failure; free gets the size and align of the alloc. */
typedef struct plr_allocator {
  void *user;
  void *(*alloc)(void *user, size_t size, size_t align);
  void (*free)(void *user, void *ptr, size_t size, size_t align);
} plr_allocator;

/* Levels of a log line. */
#define PLR_LOG_ERROR 1u
#define PLR_LOG_WARN 2u
#define PLR_LOG_INFO 3u
#define PLR_LOG_DEBUG 4u

/* Host log. write gets a line: `len` bytes of UTF-8, no newline, not NUL-terminated; valid during the call. May be
 * called from any thread that uses the context; must not call back into the library. */
typedef struct plr_logger {
  void *user;
  void (*write)(void *user, uint32_t level, const char *module, const char *line, size_t len);
} plr_logger;

/* Host thread pool. parallel_for runs task(arg, 0) .. task(arg, n-1), on any threads in any order, and returns
 * when all are done. Results never depend on the number of threads. */
typedef struct plr_executor {
  void *user;
  void (*parallel_for)(void *user, uint32_t n, void (*task)(void *arg, uint32_t index), void *arg);
  uint32_t threads; /* how many run at once; used to choose how finely work is cut (never what it computes) */
  uint32_t reserved;
} plr_executor;

/* Instruction sets, for plr_context_options.isa and plr_context_isa: x86-64's, then Arm's. A context uses the
 * highest of those its processor has that is not above the option. */
#define PLR_ISA_PORTABLE 0u
#define PLR_ISA_AVX2 1u   /* with FMA */
#define PLR_ISA_AVX512 2u /* F, BW, DQ and VL */
#define PLR_ISA_NEON 16u  /* of aarch64 */
#define PLR_ISA_BEST 0xffffffffu

/* What a host lends the library, and the limits it sets. */
typedef struct plr_context_options {
  uint32_t struct_size;
  uint32_t threads;   /* total threads that compute, the caller's included; default 1 = no pool. At most 256 */
  uint32_t isa;       /* PLR_ISA_BEST (default), or the highest one to use (for tests) */
  uint32_t log_level; /* lines above this level are not formatted; default PLR_LOG_INFO */
  plr_allocator allocator; /* alloc == NULL (default): the C library's */
  plr_logger logger;       /* write == NULL (default): nothing is logged */
  plr_executor executor;   /* parallel_for != NULL: used instead of a pool; `threads` is then ignored */
  uint64_t max_memory;     /* bytes the context may hold at once; default 0 = no limit */
  uint64_t max_frame;      /* largest frame accepted from a peer, bytes; default 64 MiB */
  uint64_t max_file;       /* largest file read whole (manifest, note), bytes; default 16 MiB */
} plr_context_options;

/* The host's memory, threads, log and limits, shared by everything that is made with it. In a child made by fork a
 * context and what was made with it may be used and destroyed; it then computes on the calling thread alone. */
typedef struct plr_context plr_context;

/* Fills *options with the defaults. struct_size: sizeof(plr_context_options) as compiled. Since 0.1. */
PLR_API void plr_context_options_init(plr_context_options *options, uint32_t struct_size);

/* Creates a context. options: NULL for defaults; copied. Threads: any.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (options from a newer version; no usable CPU: the portable path needs
 * nothing special, so only a failed self-test gives this), NO_MEMORY, UNAVAILABLE (threads). Since 0.1. */
PLR_API plr_status plr_context_create(const plr_context_options *options, plr_context **out, plr_error *err);

/* Drops the caller's reference; the context ends when its last child does. Since 0.1. */
PLR_API void plr_context_destroy(plr_context *ctx);

/* Instruction set in use (PLR_ISA_*) and number of threads that compute. Since 0.1. */
PLR_API uint32_t plr_context_isa(const plr_context *ctx);
PLR_API uint32_t plr_context_threads(const plr_context *ctx);

/* Memory held through the context, in bytes and in allocations since its creation. Any may be NULL.
 * Threads: any time. Since 0.1. */
PLR_API void plr_context_memory(const plr_context *ctx, uint64_t *bytes_now, uint64_t *bytes_peak,
                                uint64_t *allocations);

/* Hash of the numeric profile `exact` that this build computes in (lib/kernels/EXACT.md and its golden
 * vectors). Nodes with the same hash give the same bits. Since 0.1. */
PLR_API void plr_profile_hash(plr_hash *out);

/* SHA-256 of data. Threads: any. Since 0.1. */
PLR_API void plr_sha256(const void *data, size_t len, plr_hash *out);

#ifdef __cplusplus
}
#endif

#endif
