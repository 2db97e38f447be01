#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED 32

int keys_from_hex(const char *hex, uint8_t key[32]) {
  if (strspn(hex, "0123456789abcdef") < 64) return -1;
  for (int i = 0; i < 32; i++)
    if (sscanf(hex + 2 * i, "%2hhx", &key[i]) != 1) return -1;
  return 0;
}

int keys_random(void *buf, size_t len) {
  return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

/* Made under a temporary name and linked into place, so that a key file is never seen
 * half-written and two processes that race end with the same key. */
static int create(const char *path, char *message, size_t cap) {
  char temporary[1100];
  uint8_t seed[SEED];
  snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
  if (keys_random(seed, sizeof seed) != 0) {
    snprintf(message, cap, "%s: no randomness: %s", path, strerror(errno));
    return -1;
  }
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int ok = fd >= 0 && write(fd, seed, SEED) == SEED && fsync(fd) == 0;
  int error = errno;
  if (fd >= 0 && close(fd) != 0 && ok) {
    ok = 0;
    error = errno;
  }
  memset(seed, 0, sizeof seed);
  if (ok && link(temporary, path) != 0 && errno != EEXIST) {
    ok = 0;
    error = errno;
  }
  if (fd >= 0) unlink(temporary);
  if (!ok) snprintf(message, cap, "%s: cannot create the key: %s", path, strerror(error));
  return ok ? 0 : -1;
}

static int read_seed(const char *path, uint8_t seed[SEED], char *message, size_t cap) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 1 : (snprintf(message, cap, "%s: %s", path, strerror(errno)), -1);
  struct stat st;
  int result = -1;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != SEED) {
    snprintf(message, cap, "%s: not a key: a file of %d bytes was expected", path, SEED);
  } else if (st.st_mode & (S_IRWXG | S_IRWXO)) {
    snprintf(message, cap, "%s: others may read this key; do: chmod 600 %s", path, path);
  } else if (read(fd, seed, SEED) != SEED) {
    snprintf(message, cap, "%s: cannot read the key", path);
  } else {
    result = 0;
  }
  close(fd);
  return result;
}

int keys_open(plr_context *ctx, const char *dir, const char *name, plr_identity **out,
              char *message, size_t message_cap) {
  char path[1024];
  uint8_t seed[SEED];
  *out = NULL;
  if (snprintf(path, sizeof path, "%s/%s.key", dir, name) >= (int)sizeof path) {
    snprintf(message, message_cap, "%s: the path is too long", dir);
    return -1;
  }
  int got = read_seed(path, seed, message, message_cap);
  if (got > 0) {
    if (create(path, message, message_cap) != 0) return -1;
    got = read_seed(path, seed, message, message_cap);
    if (got > 0) snprintf(message, message_cap, "%s: the key vanished", path);
  }
  if (got != 0) return -1;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status status = plr_identity_create(ctx, seed, out, &err);
  memset(seed, 0, sizeof seed);
  if (status == PLR_OK) return 0;
  snprintf(message, message_cap, "%s: %s (%s)", path, err.message, plr_status_name(status));
  return -1;
}
