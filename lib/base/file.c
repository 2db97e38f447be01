/* Sources and sinks by path: with the ledger's store, all that touches the file system. */
#define _FILE_OFFSET_BITS 64
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "files of more than 2 GiB");

/* Some systems refuse larger requests; all of them may shorten one. */
#define PLR_IO_CHUNK ((size_t)1 << 30)

static plr_status status_of(int code) {
  switch (code) {
  case ENOSPC:
  case EDQUOT:
    return PLR_ERR_NO_SPACE;
  case ENOMEM:
    return PLR_ERR_NO_MEMORY;
  default:
    return PLR_ERR_IO;
  }
}

/* The end of a long path says more than its start, and is what fits in plr_error.where. */
static const char *path_tail(const char *path) {
  size_t len = strlen(path), room = sizeof((plr_error *)0)->where - 1;
  return len > room ? path + len - room : path;
}

static void code_text(int code, char *text, size_t size) {
  if (strerror_r(code, text, size) != 0) snprintf(text, size, "error %d", code);
}

static plr_status fail_code(plr_error *err, plr_status st, const char *path, const char *what,
                            int code) {
  char text[96];
  code_text(code, text, sizeof text);
  return plr__fail(err, st, path_tail(path), "cannot %s %s: %s", what, path, text);
}

/* ---- source ---------------------------------------------------------------------------------- */

typedef struct file_source {
  plr_context *ctx;
  char *path;
  uint64_t size;
  int fd;
} file_source;

static plr_status source_read(void *user, uint64_t offset, void *buf, size_t len) {
  const file_source *f = user;
  if (offset > f->size || len > f->size - offset) return PLR_ERR_TRUNCATED;
  uint8_t *p = buf;
  while (len > 0) {
    ssize_t n = pread(f->fd, p, PLR_MIN(len, PLR_IO_CHUNK), (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      char text[96];
      code_text(errno, text, sizeof text);
      plr__log(f->ctx, PLR_LOG_ERROR, "file", "cannot read %s: %s", f->path, text);
      return PLR_ERR_IO;
    }
    if (n == 0) return PLR_ERR_TRUNCATED; /* cut short since it was opened */
    p += n, offset += (uint64_t)n, len -= (size_t)n;
  }
  return PLR_OK;
}

static void source_close(void *user) {
  file_source *f = user;
  plr_context *ctx = f->ctx;
  if (f->fd >= 0) close(f->fd);
  plr__free(ctx, f->path);
  plr__free(ctx, f);
  plr__context_unref(ctx);
}

static plr_status source_open(file_source *f, const char *path, plr_error *err) {
  /* O_NONBLOCK: a fifo must be refused below, not waited for here. */
  do f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (f->fd < 0 && errno == EINTR);
  if (f->fd < 0) {
    int missing = errno == ENOENT || errno == ENOTDIR;
    return fail_code(err, missing ? PLR_ERR_NOT_FOUND : status_of(errno), path, "open", errno);
  }
  struct stat st;
  if (fstat(f->fd, &st) != 0) return fail_code(err, PLR_ERR_IO, path, "open", errno);
  if (!S_ISREG(st.st_mode))
    return plr__fail(err, PLR_ERR_IO, path_tail(path), "cannot open %s: not a regular file", path);
  f->size = (uint64_t)st.st_size;
  return PLR_OK;
}

plr_status plr_source_open_path(plr_context *ctx, const char *path, plr_source *out,
                                plr_error *err) {
  if (!ctx || !path || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "source", "ctx, path or out is NULL");
  memset(out, 0, sizeof *out);
  file_source *f = plr__calloc(ctx, 1, sizeof *f);
  if (!f) return plr__no_memory(err, "source");
  f->ctx = plr__context_ref(ctx);
  f->fd = -1;
  f->path = plr__strdup(ctx, path);
  plr_status st = f->path ? source_open(f, path, err) : plr__no_memory(err, "source");
  if (st != PLR_OK) {
    source_close(f);
    return st;
  }
  *out = (plr_source){f, f->size, source_read, source_close};
  return PLR_OK;
}

/* ---- sink ------------------------------------------------------------------------------------ */

typedef struct file_sink {
  plr_context *ctx;
  char *path, *temp;
  plr_status failed; /* of the first failed write; a commit after it is refused */
  int fd;
} file_sink;

static plr_status sink_fail(file_sink *f, const char *what, int code) {
  char text[96];
  code_text(code, text, sizeof text);
  plr__log(f->ctx, PLR_LOG_ERROR, "file", "cannot %s %s: %s", what, f->path, text);
  return f->failed = status_of(code);
}

static void sink_release(file_sink *f) {
  plr_context *ctx = f->ctx;
  plr__free(ctx, f->path);
  plr__free(ctx, f->temp);
  plr__free(ctx, f);
  plr__context_unref(ctx);
}

static plr_status sink_write(void *user, const void *data, size_t len) {
  file_sink *f = user;
  if (f->failed) return f->failed;
  const uint8_t *p = data;
  while (len > 0) {
    ssize_t n = write(f->fd, p, PLR_MIN(len, PLR_IO_CHUNK));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sink_fail(f, "write", errno);
    p += n, len -= (size_t)n;
  }
  return PLR_OK;
}

static void sink_abort(void *user) {
  file_sink *f = user;
  if (f->fd >= 0) close(f->fd);
  unlink(f->temp);
  sink_release(f);
}

/* What was made in a folder, or renamed into it, lasts only once the folder is on disk. The path of something in it is
 * cut off in place and mended. Returns an errno. */
static int sync_folder(char *path) {
  char *slash = strrchr(path, '/');
  const char *folder = !slash ? "." : slash == path ? "/" : path;
  if (slash) *slash = 0;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = errno;
  if (fd >= 0) {
    /* File systems that cannot sync a folder say EINVAL; there is nothing more to ask of them. */
    code = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
  }
  if (slash) *slash = '/';
  return code;
}

static plr_status sink_commit(void *user) {
  file_sink *f = user;
  if (!f->failed && fsync(f->fd) != 0) sink_fail(f, "sync", errno);
  if (close(f->fd) != 0 && !f->failed) sink_fail(f, "close", errno);
  f->fd = -1;
  if (!f->failed && rename(f->temp, f->path) != 0) sink_fail(f, "rename to", errno);
  plr_status st = f->failed;
  if (st != PLR_OK) {
    sink_abort(f);
    return st;
  }
  int code = sync_folder(f->path);
  if (code) st = sink_fail(f, "sync the folder of", code);
  sink_release(f);
  return st;
}

/* A temporary name beside the path, so that the rename stays on one file system; O_EXCL, because
 * the folder may hold another's file of that name. */
static plr_status sink_open(file_sink *f, plr_error *err) {
  struct stat st;
  if (stat(f->path, &st) == 0 && S_ISDIR(st.st_mode))
    return fail_code(err, PLR_ERR_IO, f->path, "write", EISDIR);
  size_t size = strlen(f->path) + 32;
  f->temp = plr__alloc(f->ctx, size);
  if (!f->temp) return plr__no_memory(err, "sink");
  for (unsigned i = 0; i < 1000; i++) {
    snprintf(f->temp, size, "%s.tmp-%ld-%u", f->path, (long)getpid(), i);
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd >= 0) return PLR_OK;
    if (errno != EEXIST && errno != EINTR) break;
  }
  return fail_code(err, status_of(errno), f->path, "create a file beside", errno);
}

plr_status plr_sink_open_path(plr_context *ctx, const char *path, plr_sink *out, plr_error *err) {
  if (!ctx || !path || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "sink", "ctx, path or out is NULL");
  memset(out, 0, sizeof *out);
  file_sink *f = plr__calloc(ctx, 1, sizeof *f);
  if (!f) return plr__no_memory(err, "sink");
  f->ctx = plr__context_ref(ctx);
  f->fd = -1;
  f->path = plr__strdup(ctx, path);
  plr_status st = f->path ? sink_open(f, err) : plr__no_memory(err, "sink");
  if (st != PLR_OK) {
    sink_release(f);
    return st;
  }
  *out = (plr_sink){f, sink_write, sink_commit, sink_abort};
  return PLR_OK;
}

/* ---- folders ----------------------------------------------------------------------------------- */

plr_status plr__make_folders(char *path, plr_error *err) {
  for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    int made = mkdir(path, 0777) == 0, code = made || errno == EEXIST ? 0 : errno;
    if (made) code = sync_folder(path);
    plr_status st = code ? fail_code(err, status_of(code), path, "make folder", code) : PLR_OK;
    *slash = '/';
    PLR_TRY(st);
  }
  return PLR_OK;
}
