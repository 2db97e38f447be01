/* Our side of tests/interop/log.go.
 *   interop_log write FOLDER   grows a log, signing at every size of interest; publishes it to FOLDER/site and writes
 *                              what it signed and proved to FOLDER/ours.txt
 *   interop_log check FILE     verifies what the other side wrote in the same form, and prints how many of each
 * Lines: "key VKEY", "size N CHECKPOINT", "record I N LEAF HASHES", "tree M N HASHES": bytes in base64, hashes
 * joined. */
#include <pluralis/pluralis.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define ORIGIN "example.org/interop"
#define LAST   65537u

static void need(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "interop_log: %s\n", what);
  exit(1);
}

static int of_interest(uint64_t size) { return size <= 1025 || size >= LAST - 2; }

/* ---- write ------------------------------------------------------------------------------------- */

static void put_base64(FILE *f, const void *data, size_t len) {
  char *text = malloc(len * 4 / 3 + 8);
  need(text != NULL, "no memory");
  plr__base64_encode(data, len, text);
  fputs(text, f);
  free(text);
}

static void write_record(FILE *f, plr_ledger *l, uint64_t index, uint64_t size) {
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  uint32_t count;
  plr_hash leaf, proof[PLR_PROOF_MAX];
  need(plr_ledger_entry(l, index, entry, sizeof entry, &len, NULL) == PLR_OK, "entry");
  need(plr_ledger_prove_inclusion(l, index, size, proof, &count, NULL) == PLR_OK, "inclusion");
  plr_log_leaf_hash(entry, len, &leaf);
  fprintf(f, "record %" PRIu64 " %" PRIu64 " ", index, size);
  put_base64(f, leaf.bytes, 32);
  fputc(' ', f);
  put_base64(f, proof, 32 * (size_t)count);
  fputc('\n', f);
}

static void write_size(FILE *f, plr_ledger *l, uint64_t size) {
  char note[2048];
  size_t len;
  uint32_t count;
  plr_hash proof[PLR_PROOF_MAX + 1];
  need(plr_ledger_checkpoint(l, note, sizeof note, &len, NULL) == PLR_OK, "checkpoint");
  fprintf(f, "size %" PRIu64 " ", size);
  put_base64(f, note, len);
  fputc('\n', f);
  const uint64_t at[3] = {0, size / 2, size - 1};
  for (int i = 0; i < 3; i++) write_record(f, l, at[i], size);
  const uint64_t old[3] = {1, size / 2, size - 1};
  for (int i = 0; i < 3; i++) {
    if (old[i] == 0) continue;
    need(plr_ledger_prove_consistency(l, old[i], size, proof, &count, NULL) == PLR_OK, "consistency");
    fprintf(f, "tree %" PRIu64 " %" PRIu64 " ", old[i], size);
    put_base64(f, proof, 32 * (size_t)count);
    fputc('\n', f);
  }
}

static void write_all(plr_context *ctx, const char *folder) {
  static const uint8_t seed[32] = {42};
  char path[512], vkey[256];
  uint8_t key[32];
  size_t len;
  plr_identity *id;
  plr_ledger *l;
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  need(plr_identity_create(ctx, seed, &id, NULL) == PLR_OK, "identity");
  o.origin = ORIGIN, o.sequencer = id, o.log_invalid = 1;
  need(plr_ledger_open(ctx, &o, &l, NULL) == PLR_OK, "open");
  snprintf(path, sizeof path, "%s/ours.txt", folder);
  FILE *f = fopen(path, "w");
  need(f != NULL, "cannot write ours.txt");
  plr_identity_public_key(id, key);
  need(plr_log_vkey(ORIGIN, key, vkey, sizeof vkey, &len) == PLR_OK, "vkey");
  fprintf(f, "key %s\n", vkey);
  for (uint64_t size = 1;; size++) {
    if (of_interest(size)) write_size(f, l, size);
    if (size == LAST) break;
    uint8_t entry[64]; /* entries without meaning: the tree does not ask */
    for (size_t i = 0; i < sizeof entry; i++) entry[i] = (uint8_t)(size * 31 + i * size);
    (void)plr_ledger_append(l, entry, 1 + size % sizeof entry, NULL, NULL);
  }
  need(fclose(f) == 0, "cannot write ours.txt");
  snprintf(path, sizeof path, "%s/site", folder);
  need(plr_ledger_publish_path(l, path, NULL, NULL) == PLR_OK, "publish");
  plr_ledger_destroy(l);
  plr_identity_destroy(id);
}

/* ---- check ------------------------------------------------------------------------------------- */

typedef struct seen {
  char name[256];
  uint8_t key[32];
  plr_hash root[LAST + 1];
  unsigned sizes, records, trees;
} seen;

static uint32_t get_hashes(const char *text, plr_hash *out, uint32_t most) {
  size_t len = strlen(text);
  int64_t n = len ? plr__base64_decode(text, len, out->bytes, 32 * (size_t)most) : 0;
  need(n >= 0 && n % 32 == 0, "not base64 of hashes");
  return (uint32_t)(n / 32);
}

static void check_line(seen *s, char *line) {
  static char text[8192], rest[16384];
  uint64_t a, b;
  plr_hash proof[PLR_PROOF_MAX + 1], leaf;
  line[strcspn(line, "\n")] = 0;
  text[0] = rest[0] = 0;
  if (sscanf(line, "key %255[^+]+%*8[0-9a-f]+%8191s", s->name, text) == 2) {
    uint8_t blob[33];
    need(plr__base64_decode(text, strlen(text), blob, sizeof blob) == 33 && blob[0] == 1, "vkey");
    memcpy(s->key, blob + 1, 32);
  } else if (sscanf(line, "size %" SCNu64 " %16383s", &a, rest) == 2) {
    uint8_t note[8192];
    int64_t n = plr__base64_decode(rest, strlen(rest), note, sizeof note);
    need(n > 0 && a <= LAST, "size");
    need(plr_log_verify_checkpoint((char *)note, (size_t)n, s->name, s->key, &b, &s->root[a],
                                   NULL) == PLR_OK && b == a, "a checkpoint does not verify");
    s->sizes++;
  } else if (sscanf(line, "record %" SCNu64 " %" SCNu64 " %8191s %16383s", &a, &b, text, rest) >= 3) {
    need(get_hashes(text, &leaf, 1) == 1 && b <= LAST, "record");
    uint32_t n = get_hashes(rest, proof, PLR_PROOF_MAX);
    need(plr_log_verify_inclusion(&leaf, a, b, proof, n, &s->root[b]) == PLR_OK,
         "an inclusion proof does not verify");
    leaf.bytes[0] ^= 1;
    need(plr_log_verify_inclusion(&leaf, a, b, proof, n, &s->root[b]) == PLR_ERR_PROOF,
         "a wrong inclusion proof verifies");
    s->records++;
  } else if (sscanf(line, "tree %" SCNu64 " %" SCNu64 " %16383s", &a, &b, rest) >= 2) {
    uint32_t n = get_hashes(rest, proof, PLR_PROOF_MAX + 1);
    need(a <= LAST && b <= LAST, "tree");
    need(plr_log_verify_consistency(a, &s->root[a], b, &s->root[b], proof, n) == PLR_OK,
         "a consistency proof does not verify");
    s->trees++;
  } else {
    need(0, "a line is not understood");
  }
}

static void check_all(const char *path) {
  static char line[32768];
  seen *s = calloc(1, sizeof *s);
  FILE *f = fopen(path, "r");
  need(f && s, "cannot read");
  while (fgets(line, sizeof line, f)) check_line(s, line);
  fclose(f);
  printf("%u checkpoints, %u inclusion and %u consistency proofs\n", s->sizes, s->records, s->trees);
  free(s);
}

int main(int argc, char **argv) {
  plr_context *ctx;
  need(argc == 3, "write FOLDER | check FILE");
  if (strcmp(argv[1], "check") == 0) return check_all(argv[2]), 0;
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  need(plr_context_create(&o, &ctx, NULL) == PLR_OK, "context");
  write_all(ctx, argv[2]);
  plr_context_destroy(ctx);
  return 0;
}
