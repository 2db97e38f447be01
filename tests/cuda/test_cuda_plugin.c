/* Loading a plugin and refusing one; a driver that is missing, too old, or lost; averaging among ranks.
 * Argument: the emulated plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libgen.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cuda_support.h"

static int open_context(void **state) {
  (void)state;
  ctx = logging_context();
  return 0;
}

static int close_context(void **state) {
  (void)state;
  plr_context_destroy(ctx);
  return 0;
}

/* Opening fails with this status and a message that contains every one of the texts. */
static void refused(const char *name, plr_status want, const char *text, const char *second) {
  plr_error err = {0};
  plr_device *d = (plr_device *)&err;
  plr_status st = plr__device_open(ctx, name, &d, &err);
  if (st != want || d || !strstr(err.message, text) || !strstr(err.message, second))
    fail_msg("\"%s\": %s: %s", name, plr_status_name(st), err.message);
  assert_int_equal(err.status, want);
  print_message("%s\n", err.message);
  assert_int_equal(plr__device_open(ctx, name, &d, NULL), want); /* err may be NULL */
}

static void names(void **state) {
  (void)state;
  refused("cudart", PLR_ERR_NOT_FOUND, "no device", "cuda");
  refused("cuda:x", PLR_ERR_INVALID_ARGUMENT, "cuda:x", "cuda:N:PATH");
  refused("cuda:", PLR_ERR_INVALID_ARGUMENT, "cuda:", "cuda:PATH");
  refused("cuda:1x", PLR_ERR_INVALID_ARGUMENT, "cuda:1x", "cuda:N");
  refused("cuda:99999", PLR_ERR_INVALID_ARGUMENT, "cuda:99999", "cuda:N");
  refused("cuda:-1", PLR_ERR_INVALID_ARGUMENT, "cuda:-1", "cuda:N");
}

static void files(void **state) {
  (void)state;
  char path[1100];
  refused("cuda:/nowhere/libx.so", PLR_ERR_NOT_FOUND, "/nowhere/libx.so", "no file");
  snprintf(path, sizeof path, "cuda:%s/CMakeLists.txt", PLR_SOURCE_DIR);
  refused(path, PLR_ERR_UNAVAILABLE, "CMakeLists.txt", "");
  char built_for[64], has[64];
  snprintf(built_for, sizeof built_for, "built for device API %u", (unsigned)PLR_DEVICE_API + 1);
  snprintf(has, sizeof has, "this library has %u", (unsigned)PLR_DEVICE_API);
  refused("cuda:" WRONG_API_PLUGIN, PLR_ERR_UNSUPPORTED, built_for, has);
  refused("cuda:" WRONG_SIZE_PLUGIN, PLR_ERR_UNSUPPORTED, "16 bytes", "");
  refused("cuda:" NO_PLUGIN_PLUGIN, PLR_ERR_UNSUPPORTED, "not a device plugin", PLR_PLUGIN_SYMBOL);
  refused("cuda:" NO_SYMBOL_PLUGIN, PLR_ERR_UNSUPPORTED, "not a device plugin", PLR_PLUGIN_SYMBOL);
}

/* Without a path the plugin is found beside the program, and the message says where it was looked for. */
static void default_place(void **state) {
  (void)state;
  char self[1024], folder[1100], link_path[1200];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  assert_true(n > 0);
  self[n] = '\0';
  snprintf(folder, sizeof folder, "%s/pluralis", dirname(self));
  snprintf(link_path, sizeof link_path, "%s/libpluralis-cuda.so", folder);
  unlink(link_path);
  plr_error err = {0};
  plr_device *d = NULL;
  plr_status st = plr__device_open(ctx, "cuda", &d, &err);
  if (st == PLR_ERR_NOT_FOUND) /* else a plugin is installed on this machine */
    assert_non_null(strstr(err.message, "no libpluralis-cuda.so in "));
  if (d) d->vt->destroy(d);

  mkdir(folder, 0777);
  assert_int_equal(symlink(plugin_path, link_path), 0);
  st = plr__device_open(ctx, "cuda:1", &d, &err);
  unlink(link_path);
  rmdir(folder);
  if (st != PLR_OK) fail_msg("%s", err.message);
  assert_string_equal(d->vt->name, "cuda");
  d->vt->destroy(d);
}

static void no_driver(void **state) {
  (void)state;
  static const struct {
    int error;
    const char *name;
  } cases[] = {{35, "cudaErrorInsufficientDriver"},
               {34, "cudaErrorStubLibrary"},
               {100, "cudaErrorNoDevice"}};
  for (int i = 0; i < 3; i++) {
    emulation_break_driver(cases[i].error);
    refused(device_name(0), PLR_ERR_UNAVAILABLE, "no CUDA device: ", cases[i].name);
    emulation_break_driver(0);
  }
  refused(device_name(EMULATION_DEVICES), PLR_ERR_UNAVAILABLE, "no CUDA device 4: there are 4", "");
}

#if defined(HARDWARE_PLUGIN)
/* The plugin as nvcc built it: a device, or the reason why there is none. */
static void hardware(void **state) {
  (void)state;
  plr_error err = {0};
  plr_device *d = NULL;
  plr_status st = plr__device_open(ctx, "cuda:" HARDWARE_PLUGIN, &d, &err);
  if (st == PLR_OK) {
    d->vt->destroy(d);
    return;
  }
  print_message("%s\n", err.message);
  assert_int_equal(st, PLR_ERR_UNAVAILABLE);
  assert_null(d);
  assert_non_null(strstr(err.message, "no CUDA device"));
  assert_non_null(strstr(err.message, "the plugin was built for "));
}
#endif

/* A device that is lost says so in every call from then on, and can be destroyed. */
static void lost_device(void **state) {
  (void)state;
  plr_device *d;
  float x[4] = {1, 2, 3, 4};
  assert_int_equal(plr__device_open(ctx, device_name(0), &d, NULL), PLR_OK);
  float *p = (float *)d->vt->alloc(d, sizeof x);
  assert_int_equal(d->vt->write(d, p, x, sizeof x), PLR_OK);
  emulation_break_driver(719);
  plr_fill_args fill = {p, 4, 1.0f};
  assert_int_equal(d->vt->run(d, PLR_OP_FILL, &fill), PLR_ERR_UNAVAILABLE);
  assert_int_equal(d->vt->read(d, x, p, sizeof x), PLR_ERR_UNAVAILABLE);
  assert_int_equal(d->vt->write(d, p, x, sizeof x), PLR_ERR_UNAVAILABLE);
  assert_int_equal(d->vt->synchronize(d), PLR_ERR_UNAVAILABLE);
  assert_null(d->vt->alloc(d, 8));
  d->vt->free(d, p);
  d->vt->destroy(d);
  emulation_break_driver(0);
}

/* A fault inside a kernel or a copy reaches the caller as a status too. */
static void fault_on_the_device(void **state) {
  (void)state;
  plr_device *d;
  float x[4];
  assert_int_equal(plr__device_open(ctx, device_name(0), &d, NULL), PLR_OK);
  float *p = (float *)d->vt->alloc(d, sizeof x);
  assert_int_equal(d->vt->read(d, x, p + 1, sizeof x), PLR_ERR_UNAVAILABLE);
  assert_int_equal(d->vt->read(d, x, p, sizeof x), PLR_ERR_UNAVAILABLE);
  assert_non_null(strstr(emulation_error(), "covers bytes 4 to 20 of an allocation of 16"));
  emulation_reset();
  assert_int_equal(d->vt->read(d, x, p, sizeof x), PLR_OK);
  assert_true(x[0] == 0.0f && x[3] == 0.0f); /* alloc gives zeros */
  assert_null(d->vt->alloc(d, (size_t)1 << 40));
  d->vt->free(d, p);
  d->vt->free(d, NULL);
  d->vt->destroy(d);
}

/* ---- averaging -------------------------------------------------------------------------------- */

#define RANKS  3
#define VALUES 2500 /* more than one chunk of the emulated build */

static const float weights[RANKS] = {0.25f, 0.5f, 0.2500001f};

typedef struct rank_job {
  const plr_device_plugin *plugin;
  const uint8_t *id;
  uint32_t rank;
  float values[VALUES];
  plr_status st;
  plr_error err;
} rank_job;

static plr_status average(rank_job *job, plr_device *d, plr_device_group *group) {
  float *x = (float *)d->vt->alloc(d, sizeof job->values);
  plr_status st = d->vt->write(d, x, job->values, sizeof job->values);
  if (st == PLR_OK) st = job->plugin->group_average(group, x, VALUES, weights);
  if (st == PLR_OK) st = d->vt->read(d, job->values, x, sizeof job->values);
  d->vt->free(d, x);
  return st;
}

static void *run_rank(void *arg) {
  rank_job *job = (rank_job *)arg;
  plr_device *d = NULL;
  plr_device_group *group = NULL;
  job->st = plr__device_open(ctx, device_name((int)job->rank), &d, &job->err);
  if (job->st != PLR_OK) return NULL;
  job->st = job->plugin->group_create(d, job->id, job->rank, RANKS, &group, &job->err);
  if (job->st == PLR_OK) job->st = average(job, d, group);
  job->plugin->group_destroy(group);
  d->vt->destroy(d);
  return NULL;
}

/* Every rank ends with the chain over ranks, bit for bit, though the values travel by a collective. */
static void averaging(void **state) {
  (void)state;
  static rank_job job[RANKS];
  float want[VALUES];
  uint8_t id[PLR_GROUP_ID_BYTES];
  const plr_device_plugin *plugin;
  uint32_t ordinal;
  plr_error err = {0};
  assert_int_equal(plr__plugin_load(device_name(0), &plugin, &ordinal, &err), PLR_OK);
  for (uint64_t seed = 0; seed < 3; seed++) {
    pthread_t threads[RANKS];
    emulation_seed(seed);
    assert_int_equal(plugin->group_id(id, &err), PLR_OK);
    memset(want, 0, sizeof want);
    for (uint32_t r = 0; r < RANKS; r++) {
      job[r].plugin = plugin;
      job[r].id = id;
      job[r].rank = r;
      fill_random(job[r].values, VALUES, r + 1, 1.0f);
      for (int i = 0; i < VALUES; i++) want[i] = fmaf(weights[r], job[r].values[i], want[i]);
    }
    for (int r = 0; r < RANKS; r++)
      assert_int_equal(pthread_create(&threads[r], NULL, run_rank, &job[r]), 0);
    for (int r = 0; r < RANKS; r++) assert_int_equal(pthread_join(threads[r], NULL), 0);
    for (int r = 0; r < RANKS; r++) {
      if (job[r].st != PLR_OK)
        fail_msg("rank %d: %s: %s", r, job[r].err.message, emulation_error());
      assert_same_bits(job[r].values, want, VALUES, "average");
    }
  }
}

static void bad_groups(void **state) {
  (void)state;
  const plr_device_plugin *plugin;
  uint32_t ordinal;
  uint8_t id[PLR_GROUP_ID_BYTES] = {0};
  plr_error err = {0};
  plr_device *d;
  plr_device_group *group;
  assert_int_equal(plr__plugin_load(device_name(2), &plugin, &ordinal, &err), PLR_OK);
  assert_int_equal(ordinal, 2);
  assert_int_equal(plr__device_open(ctx, device_name(2), &d, &err), PLR_OK);
  assert_int_equal(plugin->group_create(d, id, 2, 2, &group, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(group);
  assert_int_equal(plugin->group_create(d, id, 0, 0, &group, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plugin->group_create(d, id, 0, PLR_GROUP_MAX_RANKS + 1, &group, &err),
                   PLR_ERR_INVALID_ARGUMENT);
  plugin->group_destroy(NULL);
  d->vt->destroy(d);
}

int main(int argc, char **argv) {
  assert_int_equal(argc, 2);
  plugin_path = argv[1];
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names),
    cmocka_unit_test(files),
    cmocka_unit_test(default_place),
    cmocka_unit_test(no_driver),
#if defined(HARDWARE_PLUGIN)
    cmocka_unit_test(hardware),
#endif
    cmocka_unit_test(lost_device),
    cmocka_unit_test(fault_on_the_device),
    cmocka_unit_test(averaging),
    cmocka_unit_test(bad_groups),
  };
  return cmocka_run_group_tests(tests, open_context, close_context);
}
