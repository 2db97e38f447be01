/* Trains a job of pluralis-train in one process, on a simulated network under a virtual clock, and prints the weight
 * root and the hash of every stage's snapshot: to be compared with the job that ran over TCP.
 *
 *   sim_job MANIFEST TEXT CODEC STAGES STEPS */
#include "sim/pipeline.h"

#include <stdio.h>

static char *read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot read %s", path);
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  char *data = calloc(*len + 1, 1);
  if (!data || fread(data, 1, *len, f) != *len) fail_msg("cannot read %s", path);
  fclose(f);
  return data;
}

static void print_hash(const char *name, const plr_hash *hash) {
  char hex[65];
  plr__hex_encode(hash->bytes, sizeof hash->bytes, hex);
  printf("%s %s\n", name, hex);
}

static void test_job(void **state) {
  char **argv = *state;
  static pipeline p;
  size_t manifest_len, text_len;
  char *manifest = read_file(argv[1], &manifest_len), *text = read_file(argv[2], &text_len);
  pipe_config c = pipe_defaults((uint32_t)atoi(argv[4]));
  c.manifest = manifest;
  c.text = text;
  c.text_len = text_len;
  c.codec = argv[3];
  pipe_open(&p, &c);
  pipe_train(&p, (uint64_t)atoi(argv[5]));
  pipe_stop(&p);
  print_hash("root", &p.stop_root);
  for (uint32_t i = 0; i < c.stages; i++) {
    plr_hash hash;
    char name[32];
    plr_sha256(p.snapshot[i].data, p.snapshot[i].len, &hash);
    snprintf(name, sizeof name, "stage-%u", (unsigned)i);
    print_hash(name, &hash);
  }
  pipe_close(&p);
  free(text);
  free(manifest);
}

int main(int argc, char **argv) {
  if (argc != 6) return fputs("usage: sim_job MANIFEST TEXT CODEC STAGES STEPS\n", stderr), 2;
  const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_job, argv)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
