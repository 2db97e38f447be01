/* Exports. The input is verified as it is, and then its entries once more under a checkpoint that we sign for them,
 * so that a change of an entry reaches the state machine. What verifies must keep every identity (verify itself adds
 * them up), and failure must not be fatal. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const plr_buffer *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static void verify(plr_context *ctx, plr_buffer *file, const plr_identity *who, uint32_t skip) {
  uint8_t key[32];
  plr_source source = {file, file->len, read_at, NULL};
  plr_verify_options o;
  plr_identity_public_key(who, key);
  plr_verify_options_init(&o, sizeof o);
  o.origin = "example.org/test";
  o.public_key = key;
  o.skip_signatures = skip;
  plr_status st = plr_ledger_verify(ctx, &source, &o, NULL, NULL);
  if (st <= -300) abort();
}

/* The entries of an export, under our own checkpoint; 0 when they are not even well framed. */
static int sign_again(plr_context *ctx, const uint8_t *data, size_t size, const plr_identity *who,
                      plr_buffer *out) {
  plr__frontier f = {0};
  plr_hash leaf, completed[64], root;
  plr_buffer note;
  plr_reader r;
  plr__reader_init(&r, data, size);
  plr__read_bytes(&r, 8);
  plr__read_bytes(&r, plr__read_be32(&r));
  size_t start = r.pos;
  while (!r.failed && r.pos < size) {
    size_t len = plr__read_be16(&r);
    const uint8_t *entry = plr__read_bytes(&r, len);
    if (!entry) return 0;
    plr__merkle_leaf(entry, len, &leaf);
    plr__frontier_append(&f, &leaf, completed);
  }
  if (r.failed) return 0;
  plr__buffer_init(&note, ctx);
  plr__frontier_root(&f, &root);
  plr__checkpoint_sign(&note, "example.org/test", f.size, &root, who);
  plr__buffer_put(out, PLR__EXPORT_MAGIC, 8);
  plr__buffer_be32(out, (uint32_t)note.len);
  plr__buffer_put(out, note.data, note.len);
  plr__buffer_put(out, data + start, size - start);
  plr__buffer_release(&note);
  return !out->failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  static plr_identity *who;
  uint8_t seed[32] = {0};
  seed[0] = 1; /* the sequencer of the corpus */
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  if (!who && plr_identity_create(ctx, seed, &who, NULL) != PLR_OK) abort();
  plr_buffer file;
  plr__buffer_init(&file, ctx);
  plr__buffer_put(&file, data, size);
  verify(ctx, &file, who, 0);
  plr__buffer_clear(&file);
  if (sign_again(ctx, data, size, who, &file)) verify(ctx, &file, who, 1);
  plr__buffer_release(&file);
  return 0;
}
