/* What the tests of the CUDA plugin share: the emulated device, and memory on it. Include after cmocka.h. */
#ifndef PLR_TESTS_CUDA_SUPPORT_H
#define PLR_TESTS_CUDA_SUPPORT_H

#include "backend/plugin.h"
#include "emulation.h"
#include "kernels_support.h"

/* The plugin's path is the test's argument. */
static const char *plugin_path;
static plr_context *ctx;
static plr_device *device;

static inline void log_line(void *user, uint32_t level, const char *module, const char *line,
                            size_t len) {
  (void)user;
  if (level <= PLR_LOG_WARN) print_message("%s: %.*s\n", module, (int)len, line);
}

static inline plr_context *logging_context(void) {
  plr_context_options o;
  plr_context *c = NULL;
  plr_context_options_init(&o, sizeof o);
  o.logger.write = log_line;
  assert_int_equal(plr_context_create(&o, &c, NULL), PLR_OK);
  return c;
}

/* "cuda:PATH", or "cuda:N:PATH". */
static inline const char *device_name(int ordinal) {
  static _Thread_local char name[1024];
  if (ordinal == 0)
    snprintf(name, sizeof name, "cuda:%s", plugin_path);
  else
    snprintf(name, sizeof name, "cuda:%d:%s", ordinal, plugin_path);
  return name;
}

/* On a machine without a CUDA device the plugin for hardware has nothing to test. */
static inline void skip_without_device(void) {
  plr_error err = {0};
  plr_context *c = logging_context();
  plr_device *d = NULL;
  plr_status st = plr__device_open(c, device_name(0), &d, &err);
  if (d) d->vt->destroy(d);
  plr_context_destroy(c);
  if (st != PLR_ERR_UNAVAILABLE || strncmp(err.message, "no CUDA device", 14) != 0) return;
  printf("skipped: %s\n", err.message);
  exit(0);
}

static inline int open_device(void **state) {
  (void)state;
  plr_error err = {0};
  ctx = logging_context();
  if (plr__device_open(ctx, device_name(0), &device, &err) == PLR_OK) return 0;
  print_error("%s: %s: %s\n", err.where, err.message, emulation_error());
  return -1;
}

static inline int close_device(void **state) {
  (void)state;
  device->vt->destroy(device);
  plr_context_destroy(ctx);
  return 0;
}

/* A copy of host memory on the device; released with the others by release_all. */
#define MAX_UPLOADS 64
static void *uploads[MAX_UPLOADS];
static int upload_count;

static inline void *upload(const void *host, int64_t bytes) {
  void *p = device->vt->alloc(device, (size_t)bytes);
  assert_non_null(p);
  assert_true(upload_count < MAX_UPLOADS);
  uploads[upload_count++] = p;
  if (host) assert_int_equal(device->vt->write(device, p, host, (size_t)bytes), PLR_OK);
  return p;
}

static inline float *upload_floats(const float *host, int64_t n) {
  return (float *)upload(host, n * (int64_t)sizeof(float));
}

/* Device memory of NaN, so that an element that is never written shows. */
static inline float *upload_unset(int64_t n) {
  float *host = unset_floats(n), *p = upload_floats(host, n);
  free(host);
  return p;
}

static inline void release_all(void) {
  while (upload_count > 0) device->vt->free(device, uploads[--upload_count]);
}

static inline void run_op(plr_op_id op, const void *args) {
  plr_status st = device->vt->run(device, op, args);
  if (st != PLR_OK) fail_msg("operation %d: %s", (int)op, plr_status_message(st));
}

/* The device's n floats are these bits. */
static inline void assert_device(const float *on_device, const float *want, int64_t n,
                                 const char *what) {
  float *got = floats(n);
  plr_status st = device->vt->read(device, got, on_device, (size_t)n * sizeof(float));
  if (st != PLR_OK) fail_msg("%s: %s: %s", what, plr_status_message(st), emulation_error());
  assert_same_bits(got, want, n, what);
  free(got);
}

#endif
