/* libpluralis: where bytes that outlive a process come from and go to.
 *
 * A source is read at any offset; a sink is written front to back and becomes visible only at commit. Weights,
 * snapshots and ledger exports go through them, so that a host may keep them anywhere; the path versions below
 * are the only ones in the library that touch the file system. */
#ifndef PLURALIS_IO_H
#define PLURALIS_IO_H

#include <pluralis/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* read_at fills exactly len bytes from offset, or fails (TRUNCATED past the end, IO). size: total bytes. close
 * releases the source. */
typedef struct plr_source {
  void *user;
  uint64_t size;
  plr_status (*read_at)(void *user, uint64_t offset, void *buf, size_t len);
  void (*close)(void *user);
} plr_source;

/* write appends. commit makes everything written visible under its name at once and durable; abort leaves no
 * trace. Exactly one of commit and abort is called, last; both release the sink. */
typedef struct plr_sink {
  void *user;
  plr_status (*write)(void *user, const void *data, size_t len);
  plr_status (*commit)(void *user);
  void (*abort)(void *user);
} plr_sink;

/* Opens a file for reading. Errors: NOT_FOUND, IO, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_source_open_path(plr_context *ctx, const char *path, plr_source *out, plr_error *err);

/* Writes to a temporary file beside `path`; commit does fsync, rename, fsync of the folder. A failed write (full
 * disk: NO_SPACE) leaves an earlier file of that name untouched. Errors: IO, NO_SPACE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_sink_open_path(plr_context *ctx, const char *path, plr_sink *out, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
