/* Transfers with libcurl's multi interface: one thread, many files, connections kept. */
#include "remote/remote_int.h"

#include <curl/curl.h>
#include <string.h>
#include <time.h>

#define POLL_MS          100
#define BACKOFF_MOST     30000u
#define RETRY_AFTER_MOST 300 /* seconds */
#define REDIRECTS        5L
#define ENCODING_SLACK   65536 /* an encoding may make a file a little longer */

struct plr__http {
  plr_context *ctx;
  plr_remote_options o;
  char *url;
  CURLM *multi;
  plr__transfer *waiting, *running; /* lists; waiting in the order they begin */
  uint32_t active;
  int https;
  const char *encodings; /* NULL: none */
  plr__http_counts counts;
  plr__tick_fn tick;
  void *user;
};

static uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- making one ----------------------------------------------------------------------------------- */

static plr_status copy_text(plr_context *ctx, const char **text, plr_error *err) {
  if (!*text) return PLR_OK;
  *text = plr__strdup(ctx, *text);
  return *text ? PLR_OK : plr__no_memory(err, "remote");
}

static plr_status copy_strings(plr__http *h, const char *url, plr_error *err) {
  const char *from[] = {h->o.ca_file, h->o.user, h->o.sigv4, h->o.proxy};
  const char **to[] = {&h->o.ca_file, &h->o.user, &h->o.sigv4, &h->o.proxy};
  for (size_t i = 0; i < PLR_COUNT_OF(to); i++) *to[i] = NULL;
  for (size_t i = 0; i < PLR_COUNT_OF(to); i++) {
    *to[i] = from[i];
    plr_status st = copy_text(h->ctx, to[i], err);
    if (st != PLR_OK) return st;
  }
  h->url = plr__strdup(h->ctx, url);
  if (!h->url) return plr__no_memory(err, "remote");
  size_t len = strlen(h->url);
  while (len && h->url[len - 1] == '/') h->url[--len] = 0;
  return PLR_OK;
}

static plr_status check_url(const char *url, plr_error *err) {
  size_t head = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0;
  if (!head || !url[head] || url[head] == '/')
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "remote.url",
                     "%.80s is not http:// or https:// and a host", url);
  if (strpbrk(url, "?#") || strlen(url) > 2000)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "remote.url", "not the URL of a folder");
  return PLR_OK;
}

/* What this libcurl can undo; zstd first, since it is the better one. */
static const char *encodings(void) {
  const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
  int zstd = (v->features & CURL_VERSION_ZSTD) != 0, gzip = (v->features & CURL_VERSION_LIBZ) != 0;
  return zstd ? gzip ? "zstd, gzip" : "zstd" : gzip ? "gzip" : NULL;
}

plr_status plr__http_create(plr_context *ctx, const char *url, const plr_remote_options *options,
                            plr__tick_fn tick, void *user, plr__http **out, plr_error *err) {
  plr_remote_options o;
  *out = NULL;
  PLR_TRY(plr__remote_options_read(options, &o, err));
  PLR_TRY(check_url(url, err));
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return plr__fail(err, PLR_ERR_UNAVAILABLE, "remote", "libcurl does not start");
  plr__http *h = plr__calloc(ctx, 1, sizeof *h);
  if (!h) {
    curl_global_cleanup();
    return plr__no_memory(err, "remote");
  }
  h->ctx = plr__context_ref(ctx);
  h->o = o;
  h->https = !strncmp(url, "https://", 8);
  h->tick = tick;
  h->user = user;
  h->encodings = encodings();
  plr_status st = copy_strings(h, url, err);
  h->multi = curl_multi_init();
  if (st == PLR_OK && !h->multi) st = plr__no_memory(err, "remote");
  if (st != PLR_OK) {
    plr__http_destroy(h);
    return st;
  }
  curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)o.parallel);
  *out = h;
  return PLR_OK;
}

void plr__http_destroy(plr__http *h) {
  if (!h) return;
  plr__http_cancel(h);
  if (h->multi) curl_multi_cleanup(h->multi);
  plr_context *ctx = h->ctx;
  plr__free(ctx, (void *)(uintptr_t)h->o.ca_file);
  plr__free(ctx, (void *)(uintptr_t)h->o.user);
  plr__free(ctx, (void *)(uintptr_t)h->o.sigv4);
  plr__free(ctx, (void *)(uintptr_t)h->o.proxy);
  plr__free(ctx, h->url);
  plr__free(ctx, h);
  plr__context_unref(ctx);
  curl_global_cleanup();
}

uint32_t plr__http_parallel(const plr__http *h) {
  return h->o.parallel;
}

plr__http_counts plr__http_count(const plr__http *h) {
  return h->counts;
}

/* ---- starting a transfer ---------------------------------------------------------------------------- */

static size_t receive(char *data, size_t size, size_t n, void *user) {
  plr__transfer *t = user;
  size_t len = size * n;
  if (len > t->limit || t->answer.len > t->limit - len) {
    t->over_limit = 1;
    return 0;
  }
  plr__buffer_put(&t->answer, data, len);
  return t->answer.failed ? 0 : len;
}

static int add_header(struct curl_slist **list, const char *text) {
  struct curl_slist *longer = curl_slist_append(*list, text);
  if (longer) *list = longer;
  return longer != NULL;
}

/* Headers of a request with a body. S3 wants the body's hash among those that are signed. */
static int make_headers(const plr__http *h, plr__transfer *t) {
  struct curl_slist *list = NULL;
  plr_buffer line;
  int good = 1;
  plr__buffer_init(&line, h->ctx);
  if (t->body) {
    plr__buffer_printf(&line, "Content-Type: %s", t->content_type);
    plr__buffer_u8(&line, 0);
    good = !line.failed && add_header(&list, (const char *)line.data);
    /* Nobody is asked whether a body may be sent. (A signature would name this header, which is
     * not sent.) */
    if (good && !h->o.sigv4) good = add_header(&list, "Expect:");
  }
  if (good && h->o.sigv4) {
    plr_hash hash;
    char hex[65];
    plr_sha256(t->body ? t->body : "", t->body_len, &hash);
    plr__hex_encode(hash.bytes, 32, hex);
    plr__buffer_clear(&line);
    plr__buffer_printf(&line, "x-amz-content-sha256: %s", hex);
    plr__buffer_u8(&line, 0);
    good = !line.failed && add_header(&list, (const char *)line.data);
  }
  plr__buffer_release(&line);
  t->headers = list;
  return good;
}

static int set_url(const plr__http *h, plr__transfer *t, CURL *e) {
  plr_buffer url;
  plr__buffer_init(&url, h->ctx);
  plr__buffer_printf(&url, "%s/%s", h->url, t->path);
  plr__buffer_u8(&url, 0);
  int good = !url.failed && curl_easy_setopt(e, CURLOPT_URL, (const char *)url.data) == CURLE_OK;
  plr__buffer_release(&url);
  return good;
}

/* Times, certificates, redirections: the same for every request. */
static void set_limits(const plr__http *h, CURL *e) {
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->o.connect_timeout_ms);
  curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)h->o.timeout_ms);
  curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)h->o.stall_timeout_s);
  curl_easy_setopt(e, CURLOPT_PROXY, h->o.proxy ? h->o.proxy : "");
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, h->https ? "https" : "http");
  curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, h->https ? "https" : "http,https");
  curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECTS);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, h->o.no_tls_verify ? 0L : 1L);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, h->o.no_tls_verify ? 0L : 2L);
  if (h->o.ca_file) {
    curl_easy_setopt(e, CURLOPT_CAINFO, h->o.ca_file);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
  }
  if (h->o.user) curl_easy_setopt(e, CURLOPT_USERPWD, h->o.user);
  if (h->o.sigv4) curl_easy_setopt(e, CURLOPT_AWS_SIGV4, h->o.sigv4);
  curl_easy_setopt(e, CURLOPT_USERAGENT, "libpluralis");
}

static int set_request(const plr__http *h, plr__transfer *t, CURL *e) {
  curl_easy_setopt(e, CURLOPT_PRIVATE, t);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->why);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->limit + ENCODING_SLACK);
  if (t->body) {
    /* The body in one piece, so that it can be hashed for a signature and sent again. */
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_len);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->body);
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->method);
  } else {
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    if (h->encodings) curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, h->encodings);
  }
  if (!make_headers(h, t)) return 0;
  if (t->headers) curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
  return set_url(h, t, e);
}

static void end_handle(plr__http *h, plr__transfer *t) {
  if (t->handle) {
    curl_multi_remove_handle(h->multi, t->handle);
    curl_easy_cleanup(t->handle);
  }
  curl_slist_free_all(t->headers);
  t->handle = t->headers = NULL;
}

static void unlink_from(plr__transfer **list, plr__transfer *t) {
  while (*list && *list != t) list = &(*list)->next;
  if (*list) *list = t->next;
  t->next = NULL;
}

static void finish(plr__http *h, plr__transfer *t, plr_status st) {
  t->done = 1;
  t->status = st;
  if (st == PLR_OK) h->counts.files++, h->counts.decoded += t->answer.len;
}

static void start(plr__http *h, plr__transfer *t) {
  CURL *e = curl_easy_init();
  t->handle = e;
  t->why[0] = 0;
  t->over_limit = 0;
  t->attempts++;
  plr__buffer_clear(&t->answer);
  if (e) set_limits(h, e);
  if (!e || !set_request(h, t, e) || curl_multi_add_handle(h->multi, e) != CURLM_OK) {
    end_handle(h, t);
    finish(h, t, plr__no_memory(&t->error, t->path));
    return;
  }
  t->next = h->running;
  h->running = t;
  h->active++;
}

/* ---- outcomes --------------------------------------------------------------------------------------- */

/* What a failed transfer is to the caller, and whether another try may help. */
static plr_status of_code(const plr__transfer *t, CURLcode code, int *again) {
  *again = 0;
  if (t->over_limit || code == CURLE_FILESIZE_EXCEEDED) return PLR_ERR_LIMIT;
  if (t->answer.failed || code == CURLE_OUT_OF_MEMORY) return PLR_ERR_NO_MEMORY;
  switch (code) {
  case CURLE_URL_MALFORMAT:
    return PLR_ERR_INVALID_ARGUMENT;
  case CURLE_BAD_CONTENT_ENCODING:
    return PLR_ERR_MALFORMED;
  case CURLE_PARTIAL_FILE:
    *again = 1;
    return PLR_ERR_TRUNCATED;
  case CURLE_RECV_ERROR:
    *again = 1;
    return t->answer.len ? PLR_ERR_TRUNCATED : PLR_ERR_UNAVAILABLE;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_COULDNT_CONNECT:
  case CURLE_OPERATION_TIMEDOUT:
  case CURLE_SEND_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_HTTP2:
  case CURLE_HTTP2_STREAM:
    *again = 1;
    return PLR_ERR_UNAVAILABLE;
  default:
    return PLR_ERR_IO;
  }
}

static plr_status of_http(const plr__transfer *t, int *again) {
  uint32_t s = t->http_status;
  *again = s == 408 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504;
  if (*again) return PLR_ERR_UNAVAILABLE;
  if (t->any_answer) return PLR_OK;
  if (s == 404 || s == 410) return PLR_ERR_NOT_FOUND;
  if (t->body) return s == 200 || s == 201 || s == 204 ? PLR_OK : PLR_ERR_IO;
  return s == 200 ? PLR_OK : PLR_ERR_IO;
}

/* Doubled each time, and spread so that those who failed together do not come back together. */
static uint64_t back_off(const plr__http *h, const plr__transfer *t, curl_off_t retry_after) {
  uint64_t wait = PLR_MIN((uint64_t)h->o.backoff_ms << PLR_MIN(t->attempts - 1, 16u), BACKOFF_MOST);
  uint64_t now = now_ms(), key[2] = {now, (uint64_t)(uintptr_t)t};
  wait += plr__mulhi64(plr__xxh3_64(key, sizeof key), wait / 4 + 1);
  retry_after = PLR_MIN(retry_after, RETRY_AFTER_MOST);
  return now + PLR_MAX(wait, (uint64_t)PLR_MAX(retry_after, 0) * 1000);
}

static void settle(plr__http *h, plr__transfer *t, CURLcode code) {
  long http = 0;
  curl_off_t received = 0, retry_after = 0;
  int again;
  curl_easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &http);
  curl_easy_getinfo(t->handle, CURLINFO_SIZE_DOWNLOAD_T, &received);
  curl_easy_getinfo(t->handle, CURLINFO_RETRY_AFTER, &retry_after);
  t->http_status = (uint32_t)http;
  h->counts.received += (uint64_t)received;
  plr_status st = code == CURLE_OK ? of_http(t, &again) : of_code(t, code, &again);
  unlink_from(&h->running, t);
  h->active--;
  end_handle(h, t);
  if (st != PLR_OK && again && t->attempts <= h->o.retries) {
    t->not_before = back_off(h, t, retry_after);
    t->next = h->waiting;
    h->waiting = t;
    h->counts.retries++;
    plr__log(h->ctx, PLR_LOG_INFO, "remote", "%s: %s (%u); again later", t->path,
             code == CURLE_OK ? "the server is busy" : curl_easy_strerror(code), t->http_status);
    return;
  }
  if (code == CURLE_OK && st != PLR_OK)
    plr__fail(&t->error, st, t->path, "the server answered %u", t->http_status);
  else if (st != PLR_OK)
    plr__fail(&t->error, st, t->path, "%s",
              t->over_limit ? "more bytes than this file can have"
              : *t->why     ? t->why
                            : curl_easy_strerror(code));
  finish(h, t, st);
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

/* Starts what may start; how long to wait at most until the next may. */
static int start_waiting(plr__http *h) {
  uint64_t now = now_ms(), wait = POLL_MS;
  for (plr__transfer **at = &h->waiting; *at && h->active < h->o.parallel;) {
    plr__transfer *t = *at;
    if (t->not_before > now) {
      wait = PLR_MIN(wait, t->not_before - now);
      at = &t->next;
      continue;
    }
    *at = t->next;
    t->next = NULL;
    start(h, t);
  }
  return (int)wait;
}

static void collect(plr__http *h) {
  int left;
  for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
    char *t = NULL;
    if (m->msg != CURLMSG_DONE) continue;
    CURLcode code = m->data.result;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
    settle(h, (plr__transfer *)(void *)t, code);
  }
}

void plr__http_begin(plr__http *h, plr__transfer *t) {
  plr__transfer **at = &h->waiting;
  plr_error_init(&t->error, sizeof t->error);
  t->done = t->attempts = t->http_status = 0;
  t->status = PLR_OK;
  t->not_before = 0;
  t->handle = t->headers = NULL;
  if (!t->urgent)
    while (*at) at = &(*at)->next;
  t->next = *at;
  *at = t;
  start_waiting(h);
}

plr_status plr__http_wait(plr__http *h, plr__transfer *t, plr_error *err) {
  int running;
  uint64_t told = now_ms();
  while (!t->done) {
    int wait = start_waiting(h);
    if (curl_multi_perform(h->multi, &running) != CURLM_OK)
      return plr__fail(err, PLR_ERR_IO, t->path, "libcurl fails");
    collect(h);
    if (t->done) break;
    if (h->tick && now_ms() - told >= POLL_MS) {
      plr_status st = h->tick(h->user);
      if (st != PLR_OK) return plr__fail(err, st, t->path, "ended by the host");
      told = now_ms();
    }
    wait = PLR_MIN(wait, start_waiting(h));
    curl_multi_poll(h->multi, NULL, 0, wait, NULL);
  }
  return t->status == PLR_OK ? PLR_OK
                             : plr__fail(err, t->status, t->error.where, "%s", t->error.message);
}

plr_status plr__http_run(plr__http *h, plr__transfer *t, plr_error *err) {
  plr__http_begin(h, t);
  return plr__http_wait(h, t, err);
}

void plr__http_cancel(plr__http *h) {
  while (h->running) {
    plr__transfer *t = h->running;
    unlink_from(&h->running, t);
    end_handle(h, t);
  }
  h->waiting = NULL;
  h->active = 0;
}
