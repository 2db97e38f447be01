/* Files over HTTP: several at once, tried again when that can help, bounded in size and time. For this folder and its
 * tests. */
#ifndef PLR_REMOTE_REMOTE_INT_H
#define PLR_REMOTE_REMOTE_INT_H

#include "base/base.h"
#include <pluralis/mirror.h>

typedef struct plr__http plr__http;

/* One file on its way. The caller zeroes it and sets the first part; the rest is the outcome once `done` is set. */
typedef struct plr__transfer {
  const char *method, *content_type; /* "GET", "PUT", "POST"; of the body */
  const void *body;                  /* lives until done */
  size_t body_len;
  size_t limit; /* most bytes of an answer */
  uint32_t
      any_answer; /* 1: an answer of any kind will do, but for those that ask to come again later */
  uint32_t urgent; /* 1: goes before those that wait */
  char path[128];  /* below the URL of plr__http_create */

  plr_buffer answer; /* made and released by the caller */
  uint32_t done, http_status;
  plr_status status;
  plr_error error;

  /* Of http.c. */
  struct plr__transfer *next;
  uint32_t attempts, over_limit;
  uint64_t not_before; /* milliseconds */
  void *handle, *headers;
  char why[256];
} plr__transfer;

typedef struct plr__http_counts {
  uint64_t files, retries, received, decoded;
} plr__http_counts;

/* Called several times a second while something is waited for; a status other than OK ends the wait with it. */
typedef plr_status (*plr__tick_fn)(void *user);

/* url: a folder, http:// or https://. options may be NULL. Errors: INVALID_ARGUMENT, UNSUPPORTED, NO_MEMORY. */
plr_status plr__http_create(plr_context *ctx, const char *url, const plr_remote_options *options,
                            plr__tick_fn tick, void *user, plr__http **out, plr_error *err);
void plr__http_destroy(plr__http *h); /* ends what is on its way */
uint32_t plr__http_parallel(const plr__http *h);
plr__http_counts plr__http_count(const plr__http *h);

/* Queues a transfer, which stays the caller's and must stay in place until it is done or cancelled. */
void plr__http_begin(plr__http *h, plr__transfer *t);
/* Works on all transfers until this one is done. Returns its status, or what tick returned. */
plr_status plr__http_wait(plr__http *h, plr__transfer *t, plr_error *err);
/* Forgets all transfers that are not done. */
void plr__http_cancel(plr__http *h);
/* Begin and wait. */
plr_status plr__http_run(plr__http *h, plr__transfer *t, plr_error *err);

/* Of options.c. Errors: INVALID_ARGUMENT, UNSUPPORTED. */
plr_status plr__remote_options_read(const plr_remote_options *given, plr_remote_options *out,
                                    plr_error *err);
plr_status plr__mirror_options_read(const plr_mirror_options *given, plr_mirror_options *out,
                                    plr_error *err);

#endif
