/* Sources and sinks by path, with the failures of the system injected below them. */
#define _GNU_SOURCE
#include "base_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* This executable's write, fsync and rename stand before the C library's. A code makes the call
 * fail with it once `after` calls have passed; write_most cuts every write short. */
static struct {
  int write_code, fsync_code, rename_code;
  int write_after, fsync_after, interrupt;
  size_t write_most;
} inject;

ssize_t write(int fd, const void *buf, size_t len) {
  if (inject.interrupt && inject.interrupt-- % 2) {
    errno = EINTR;
    return -1;
  }
  if (inject.write_code && inject.write_after-- <= 0) {
    errno = inject.write_code;
    return -1;
  }
  if (inject.write_most && len > inject.write_most) len = inject.write_most;
  return syscall(SYS_write, fd, buf, len);
}

int fsync(int fd) {
  if (inject.fsync_code && inject.fsync_after-- <= 0) {
    errno = inject.fsync_code;
    return -1;
  }
  return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
  if (inject.rename_code) {
    errno = inject.rename_code;
    return -1;
  }
  return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static char folder[32];

static char *in_folder(const char *name) {
  static char path[4][600];
  static int next;
  char *p = path[next++ % 4];
  snprintf(p, sizeof path[0], "%s/%s", folder, name);
  return p;
}

static int files_in_folder(void) {
  DIR *d = opendir(folder);
  assert_non_null(d);
  int n = 0;
  for (struct dirent *e; (e = readdir(d)) != NULL;)
    n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
  closedir(d);
  return n;
}

static int setup(void **state) {
  plr_context **ctx = (plr_context **)state;
  memset(&inject, 0, sizeof inject);
  strcpy(folder, "test_base_file.XXXXXX");
  return !mkdtemp(folder) || plr_context_create(NULL, ctx, NULL) != PLR_OK;
}

static int teardown(void **state) {
  uint64_t now = 1;
  memset(&inject, 0, sizeof inject);
  plr_context_memory(*state, &now, NULL, NULL);
  plr_context_destroy(*state);
  DIR *d = opendir(folder);
  if (!d) return -1;
  for (struct dirent *e; (e = readdir(d)) != NULL;) remove(in_folder(e->d_name));
  closedir(d);
  return now != 0 || rmdir(folder) != 0;
}

static void put(plr_context *ctx, const char *path, const char *text) {
  plr_sink sink;
  assert_int_equal(plr_sink_open_path(ctx, path, &sink, NULL), PLR_OK);
  assert_int_equal(sink.write(sink.user, text, strlen(text)), PLR_OK);
  assert_int_equal(sink.commit(sink.user), PLR_OK);
}

static void expect_content(plr_context *ctx, const char *path, const char *text) {
  plr_source source;
  char buf[256];
  assert_int_equal(plr_source_open_path(ctx, path, &source, NULL), PLR_OK);
  assert_int_equal(source.size, strlen(text));
  assert_int_equal(source.read_at(source.user, 0, buf, source.size), PLR_OK);
  assert_memory_equal(buf, text, source.size);
  source.close(source.user);
}

static void test_source(void **state) {
  put(*state, in_folder("a"), "0123456789");
  plr_source s;
  assert_int_equal(plr_source_open_path(*state, in_folder("a"), &s, NULL), PLR_OK);
  assert_int_equal(s.size, 10);
  char b[16] = {0};
  assert_int_equal(s.read_at(s.user, 3, b, 4), PLR_OK);
  assert_string_equal(b, "3456");
  assert_int_equal(s.read_at(s.user, 10, b, 0), PLR_OK);
  assert_int_equal(s.read_at(s.user, 10, b, 1), PLR_ERR_TRUNCATED);
  assert_int_equal(s.read_at(s.user, 8, b, 3), PLR_ERR_TRUNCATED);
  assert_int_equal(s.read_at(s.user, UINT64_MAX, b, 2), PLR_ERR_TRUNCATED);
  assert_int_equal(s.read_at(s.user, 8, b, SIZE_MAX), PLR_ERR_TRUNCATED);
  /* Cut by someone else while open. */
  assert_int_equal(truncate(in_folder("a"), 5), 0);
  assert_int_equal(s.read_at(s.user, 0, b, 10), PLR_ERR_TRUNCATED);
  s.close(s.user);
}

static void expect_no_source(plr_context *ctx, const char *path, plr_status want) {
  plr_source s;
  memset(&s, 0xff, sizeof s);
  plr_error err = {0};
  assert_int_equal(plr_source_open_path(ctx, path, &s, &err), want);
  assert_null(s.user);
  assert_null(s.read_at);
  assert_string_equal(err.where, path);
  assert_non_null(strstr(err.message, path));
}

static void test_source_errors(void **state) {
  put(*state, in_folder("a"), "x");
  expect_no_source(*state, in_folder("none"), PLR_ERR_NOT_FOUND);
  expect_no_source(*state, in_folder("a/b"), PLR_ERR_NOT_FOUND);
  expect_no_source(*state, folder, PLR_ERR_IO);
  assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
  expect_no_source(*state, in_folder("fifo"), PLR_ERR_IO);
  plr_source s;
  assert_int_equal(plr_source_open_path(*state, NULL, &s, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_source_open_path(NULL, "a", &s, NULL), PLR_ERR_INVALID_ARGUMENT);
}

static void test_commit_is_atomic(void **state) {
  char *path = in_folder("file");
  put(*state, path, "old");
  plr_sink sink;
  assert_int_equal(plr_sink_open_path(*state, path, &sink, NULL), PLR_OK);
  inject.write_most = 3;
  inject.interrupt = 5;
  assert_int_equal(sink.write(sink.user, "new ", 4), PLR_OK);
  assert_int_equal(sink.write(sink.user, "content, longer", 15), PLR_OK);
  assert_int_equal(sink.write(sink.user, "", 0), PLR_OK);
  expect_content(*state, path, "old");
  assert_int_equal(files_in_folder(), 2);
  assert_int_equal(sink.commit(sink.user), PLR_OK);
  expect_content(*state, path, "new content, longer");
  assert_int_equal(files_in_folder(), 1);
}

static void test_abort(void **state) {
  char *path = in_folder("file");
  plr_sink sink;
  assert_int_equal(plr_sink_open_path(*state, path, &sink, NULL), PLR_OK);
  assert_int_equal(sink.write(sink.user, "x", 1), PLR_OK);
  sink.abort(sink.user);
  assert_int_equal(files_in_folder(), 0);
}

/* Two sinks of one name at once, and a stale temporary file: none writes into another's. */
static void test_two_sinks(void **state) {
  char *path = in_folder("file");
  plr_sink a, b;
  assert_int_equal(plr_sink_open_path(*state, path, &a, NULL), PLR_OK);
  assert_int_equal(plr_sink_open_path(*state, path, &b, NULL), PLR_OK);
  assert_int_equal(a.write(a.user, "aaa", 3), PLR_OK);
  assert_int_equal(b.write(b.user, "bb", 2), PLR_OK);
  assert_int_equal(a.commit(a.user), PLR_OK);
  expect_content(*state, path, "aaa");
  assert_int_equal(b.commit(b.user), PLR_OK);
  expect_content(*state, path, "bb");
  assert_int_equal(files_in_folder(), 1);
}

/* A full disk (or quota) at the first or a later write; then the failure sticks. */
static void test_no_space(void **state) {
  const int codes[] = {ENOSPC, EDQUOT, EIO};
  const plr_status want[] = {PLR_ERR_NO_SPACE, PLR_ERR_NO_SPACE, PLR_ERR_IO};
  char *path = in_folder("file");
  put(*state, path, "old");
  for (int i = 0; i < 6; i++) {
    plr_sink sink;
    assert_int_equal(plr_sink_open_path(*state, path, &sink, NULL), PLR_OK);
    inject.write_most = 2;
    inject.write_code = codes[i % 3];
    inject.write_after = i / 3 * 2;
    assert_int_equal(sink.write(sink.user, "newer", 5), want[i % 3]);
    inject.write_code = 0;
    assert_int_equal(sink.write(sink.user, "x", 1), want[i % 3]);
    if (i % 2)
      sink.abort(sink.user);
    else
      assert_int_equal(sink.commit(sink.user), want[i % 3]);
    expect_content(*state, path, "old");
    assert_int_equal(files_in_folder(), 1);
  }
}

/* Some file systems find out at fsync that the disk is full. */
static void test_commit_failures(void **state) {
  char *path = in_folder("file");
  put(*state, path, "old");
  for (int i = 0; i < 2; i++) {
    plr_sink sink;
    assert_int_equal(plr_sink_open_path(*state, path, &sink, NULL), PLR_OK);
    assert_int_equal(sink.write(sink.user, "new", 3), PLR_OK);
    inject.fsync_code = i == 0 ? ENOSPC : 0;
    inject.rename_code = i == 1 ? EIO : 0;
    assert_int_equal(sink.commit(sink.user), i == 0 ? PLR_ERR_NO_SPACE : PLR_ERR_IO);
    inject.fsync_code = inject.rename_code = 0;
    expect_content(*state, path, "old");
    assert_int_equal(files_in_folder(), 1);
  }
}

static void test_folder_sync(void **state) {
  const int codes[] = {EIO, EINVAL};
  const plr_status want[] = {PLR_ERR_IO, PLR_OK};
  for (int i = 0; i < 2; i++) {
    plr_sink sink;
    assert_int_equal(plr_sink_open_path(*state, in_folder("file"), &sink, NULL), PLR_OK);
    inject.fsync_code = codes[i];
    inject.fsync_after = 1; /* the file's passes, the folder's does not */
    assert_int_equal(sink.commit(sink.user), want[i]);
    inject.fsync_code = 0;
    assert_int_equal(files_in_folder(), 1);
  }
}

static void test_sink_errors(void **state) {
  plr_sink sink;
  plr_error err = {0};
  assert_int_equal(plr_sink_open_path(*state, in_folder("none/file"), &sink, &err), PLR_ERR_IO);
  assert_null(sink.user);
  assert_non_null(strstr(err.message, "none/file"));
  assert_int_equal(plr_sink_open_path(*state, folder, &sink, &err), PLR_ERR_IO);
  assert_string_equal(err.where, folder);
  char name[400];
  memset(name, 'n', sizeof name - 1), name[sizeof name - 1] = 0;
  char *path = in_folder(name);
  assert_int_equal(plr_sink_open_path(*state, path, &sink, &err), PLR_ERR_IO);
  assert_int_equal(strlen(err.where), sizeof err.where - 1); /* the end of the path */
  assert_string_equal(err.where, path + strlen(path) - strlen(err.where));
  assert_int_equal(plr_sink_open_path(*state, NULL, &sink, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(files_in_folder(), 0);
}

/* A path without a folder: the current one is synced. */
static void test_bare_name(void **state) {
  char name[64];
  snprintf(name, sizeof name, "%s.bare", folder);
  put(*state, name, "bare");
  expect_content(*state, name, "bare");
  assert_int_equal(unlink(name), 0);
}

static void test_failing_allocations(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  plr_context *ctx = test_context(&o);
  put(ctx, in_folder("file"), "x");
  for (int n = 0; n < 2; n++) {
    plr_source s;
    a.fail_at = n, a.calls = 0;
    assert_int_equal(plr_source_open_path(ctx, in_folder("file"), &s, NULL), PLR_ERR_NO_MEMORY);
    assert_null(s.user);
  }
  for (int n = 0; n < 3; n++) {
    plr_sink s;
    a.fail_at = n, a.calls = 0;
    assert_int_equal(plr_sink_open_path(ctx, in_folder("file"), &s, NULL), PLR_ERR_NO_MEMORY);
    assert_null(s.user);
  }
  assert_int_equal(files_in_folder(), 1);
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_source),          CASE(test_source_errors),       CASE(test_commit_is_atomic),
      CASE(test_abort),           CASE(test_two_sinks),           CASE(test_no_space),
      CASE(test_commit_failures), CASE(test_folder_sync),         CASE(test_sink_errors),
      CASE(test_bare_name),       CASE(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
