/* Replays a corpus through a fuzz entry: every file below the folders (or files) named on the command line, and
 * for each file every one-byte truncation step and a walk of single-bit flips, so that the replay alone already
 * searches around the corpus. Deterministic. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long cases;

/* A fresh allocation of the exact size, so that a sanitizer sees any read past the end. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = calloc(1, size ? size : 1);
  if (!copy) exit(2);
  if (size) memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  cases++;
}

static void mutate(uint8_t *data, size_t size) {
  run(data, size);
  size_t step = size / 64 + 1;
  for (size_t cut = 0; cut < size; cut += step) run(data, cut);
  for (size_t i = 0; i < size; i += step) {
    uint8_t old = data[i];
    data[i] ^= (uint8_t)(1u << (i % 8));
    run(data, size);
    data[i] = (uint8_t)(old ^ 0xff);
    run(data, size);
    data[i] = old;
  }
}

static int replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return 1;
  fseek(f, 0, SEEK_END);
  long size = ftell(f);
  rewind(f);
  uint8_t *data = malloc((size_t)size + 1);
  if (!data || size < 0 || fread(data, 1, (size_t)size, f) != (size_t)size) return 1;
  fclose(f);
  mutate(data, (size_t)size);
  free(data);
  return 0;
}

static int replay(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) {
    fprintf(stderr, "replay: cannot read %s\n", path);
    return 1;
  }
  if (!S_ISDIR(st.st_mode)) return replay_file(path);
  DIR *dir = opendir(path);
  if (!dir) return 1;
  int bad = 0;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (e->d_name[0] == '.') continue;
    char child[4096];
    snprintf(child, sizeof child, "%s/%s", path, e->d_name);
    bad |= replay(child);
  }
  closedir(dir);
  return bad;
}

int main(int argc, char **argv) {
  int bad = argc < 2;
  run((const uint8_t *)"", 0);
  for (int i = 1; i < argc; i++) bad |= replay(argv[i]);
  printf("%lu inputs replayed\n", cases);
  return bad || cases < 2;
}
