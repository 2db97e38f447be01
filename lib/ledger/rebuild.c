/* A ledger from its published files alone.
 *
 * Two passes. The first reads the hashes of complete bundles (level 1 of the tiles: 32 bytes for 256 entries) and those
 * of the last, incomplete bundle, and compares their root with the checkpoint's; of the hashes it keeps one for 65,536
 * entries, and those at the right edge. The second reads the bundles. Each is compared with its hash before anything of
 * it is stored, so that a store never holds what was not signed, wherever the call ends. */
#include "ledger/copy.h"
#include "ledger/ledger_int.h"

#include <string.h>

#define WIDTH      PLR__TILE_WIDTH
#define GROUP      4096u      /* entries, and bytes, that go to the store at once */
#define GROUP_SIZE (4u << 20) /* at least; a bundle more at most */

typedef struct rebuilding {
  plr_ledger *l;
  const plr_log_reader *from;
  plr_verify_options o;
  uint64_t size; /* of the checkpoint, and its root */
  plr_hash root;
  plr_buffer note, file, data;       /* data: entries on their way to the store */
  plr_buffer tops;                   /* hash of each complete run of 65,536 entries */
  plr_hash edge[WIDTH], last[WIDTH]; /* of the bundles after those, of the entries after these */
  plr_hash tile[WIDTH];              /* of the bundles in run `run` */
  uint64_t run;
  plr_append_item items[GROUP];
  uint32_t count; /* items */
} rebuilding;

/* ---- files ------------------------------------------------------------------------------------- */

static plr_status read_file(rebuilding *r, const char *path, size_t first, size_t most,
                            plr_error *err) {
  plr_buffer *b = &r->file;
  size_t len = 0, cap = PLR_MIN(PLR_MAX(first, b->cap), most);
  for (int again = 0;; again++) {
    plr__buffer_clear(b);
    if (plr__buffer_reserve(b, cap) != PLR_OK) return plr__no_memory(err, "rebuild");
    plr_status st = r->from->read(r->from->user, path, b->data, cap, &len);
    if (st == PLR_ERR_BUFFER_TOO_SMALL && len > cap && len <= most && !again) {
      cap = len;
      continue;
    }
    if (st == PLR_ERR_BUFFER_TOO_SMALL || (st == PLR_OK && len > cap))
      return plr__fail(err, PLR_ERR_MALFORMED, path, "longer than %zu bytes", most);
    if (st != PLR_OK) return plr__fail(err, st, path, "cannot be read");
    b->len = len;
    return PLR_OK;
  }
}

/* An incomplete tile may be gone once there is the complete one, which begins with it. */
static plr_status read_tile(rebuilding *r, plr__tile t, size_t first, size_t most, plr_error *err) {
  char path[PLR_LOG_PATH_MAX];
  plr__tile_path(&t, path);
  plr_status st = read_file(r, path, first, most, err);
  if (st != PLR_ERR_NOT_FOUND || t.width == WIDTH) return st;
  t.width = WIDTH;
  plr__tile_path(&t, path);
  return read_file(r, path, first, most, err);
}

static plr_status read_hashes(rebuilding *r, uint32_t level, uint64_t index, uint32_t width,
                              plr_hash *out, plr_error *err) {
  const plr__tile t = {.index = index, .level = level, .width = width};
  const size_t most = WIDTH * sizeof *out;
  PLR_TRY(read_tile(r, t, most, most, err));
  if (r->file.len != width * sizeof *out && r->file.len != most)
    return plr__fail(err, PLR_ERR_MALFORMED, "tile", "%u/%llu has %zu bytes", level,
                     (unsigned long long)index, r->file.len);
  memcpy(out, r->file.data, width * sizeof *out);
  return PLR_OK;
}

/* ---- hashes ------------------------------------------------------------------------------------ */

/* Puts the right edge of a tree whose leaves are subtrees of 2^level entries into that of the whole. */
static void join(plr__frontier *f, uint32_t level, const plr_hash *nodes, uint64_t count) {
  plr__frontier part = {0};
  plr_hash completed[64];
  for (uint64_t i = 0; i < count; i++) plr__frontier_append(&part, &nodes[i], completed);
  f->size |= count << level;
  for (uint32_t i = 0; level + i < 64; i++)
    if (count >> i & 1) f->nodes[level + i] = part.nodes[i];
}

static void root_of(plr_hash *hashes, uint32_t count, plr_hash *out) {
  plr__frontier f = {0};
  join(&f, 0, hashes, count);
  plr__frontier_root(&f, out);
}

/* Root of the first `size` entries by what was read: runs, bundles of the next, entries of the last. */
static void root_at(const rebuilding *r, uint64_t size, const plr_hash *bundles,
                    const plr_hash *leaves, plr_hash *out) {
  plr__frontier f = {0};
  join(&f, 16, (const plr_hash *)(const void *)r->tops.data, size >> 16);
  join(&f, 8, bundles, size >> 8 & 255);
  join(&f, 0, leaves, size & 255);
  plr__frontier_root(&f, out);
}

static plr_status read_tree(rebuilding *r, plr_error *err) {
  plr_hash root;
  uint32_t bundles = (uint32_t)(r->size >> 8 & 255), leaves = (uint32_t)(r->size & 255);
  for (uint64_t run = 0; run < r->size >> 16; run++) {
    PLR_TRY(read_hashes(r, 1, run, WIDTH, r->tile, err));
    root_of(r->tile, WIDTH, &root);
    plr__buffer_put(&r->tops, root.bytes, sizeof root.bytes);
    if (r->tops.failed) return plr__no_memory(err, "rebuild");
  }
  r->run = UINT64_MAX;
  if (bundles) PLR_TRY(read_hashes(r, 1, r->size >> 16, bundles, r->edge, err));
  if (leaves) PLR_TRY(read_hashes(r, 0, r->size >> 8, leaves, r->last, err));
  root_at(r, r->size, r->edge, r->last, &root);
  if (plr__hash_equal(&root, &r->root)) return PLR_OK;
  return plr__fail(err, PLR_ERR_CHECKSUM, "rebuild", "the tiles do not have the signed root");
}

/* Hashes of the bundles in a run, those under the checkpoint. */
static plr_status run_hashes(rebuilding *r, uint64_t run, const plr_hash **out, plr_error *err) {
  *out = run == r->size >> 16 ? r->edge : r->tile;
  if (*out == r->edge || run == r->run) return PLR_OK;
  plr_hash root;
  r->run = UINT64_MAX;
  PLR_TRY(read_hashes(r, 1, run, WIDTH, r->tile, err));
  root_of(r->tile, WIDTH, &root);
  if (memcmp(root.bytes, r->tops.data + run * sizeof root, sizeof root) != 0)
    return plr__fail(err, PLR_ERR_CHECKSUM, "rebuild", "tile 1/%llu is not the one read before",
                     (unsigned long long)run);
  r->run = run;
  return PLR_OK;
}

/* ---- entries ----------------------------------------------------------------------------------- */

/* Reads one bundle and checks every byte of it against the tree. leaves: of its entries. */
static plr_status read_bundle(rebuilding *r, uint64_t bundle, plr_hash leaves[WIDTH],
                              uint32_t *width, plr_error *err) {
  const plr_hash *hashes = r->edge;
  plr_hash root;
  plr_reader in;
  *width = (uint32_t)PLR_MIN(r->size - bundle * WIDTH, WIDTH);
  if (*width == WIDTH) PLR_TRY(run_hashes(r, bundle >> 8, &hashes, err)); /* it reads a file too */
  plr__tile t = {.index = bundle, .level = PLR__TILE_ENTRIES, .width = *width};
  PLR_TRY(read_tile(r, t, 1u << 18, WIDTH * (2u + PLR__ENTRY_MAX), err));
  plr__reader_init(&in, r->file.data, r->file.len);
  for (uint32_t i = 0; i < *width; i++) {
    size_t len = plr__read_be16(&in);
    const uint8_t *entry = plr__read_bytes(&in, len);
    if (!entry || !len)
      return plr__fail(err, PLR_ERR_MALFORMED, "bundle", "%llu ends in entry %u",
                       (unsigned long long)bundle, i);
    plr__merkle_leaf(entry, len, &leaves[i]);
  }
  r->file.len = in.pos; /* a complete bundle in place of an incomplete one has more */
  int same;
  if (*width < WIDTH) {
    same = memcmp(leaves, r->last, *width * sizeof *leaves) == 0;
  } else {
    root_of(leaves, WIDTH, &root);
    same = plr__hash_equal(&root, &hashes[bundle & 255]);
  }
  if (same) return PLR_OK;
  return plr__fail(err, PLR_ERR_CHECKSUM, "bundle", "%llu is not the one that was signed",
                   (unsigned long long)bundle);
}

static plr_status other_history(uint64_t size, plr_error *err) {
  return plr__fail(err, PLR_ERR_MISMATCH, "rebuild",
                   "the store holds another history of the first %llu entries",
                   (unsigned long long)size);
}

/* Less is published than the store has: an older state of this log, or another history. */
static plr_status check_older(rebuilding *r, plr_error *err) {
  plr_hash ours;
  plr__node_reader nodes = plr__ledger_nodes(r->l);
  PLR_TRY(plr__tree_root(&nodes, r->size, &ours, err));
  if (!plr__hash_equal(&ours, &r->root)) return other_history(r->size, err);
  return plr__fail(err, PLR_ERR_SEQUENCE, "rebuild",
                   "the store has %llu entries, published are %llu",
                   (unsigned long long)r->l->head.frontier.size, (unsigned long long)r->size);
}

/* What the store has is the beginning of what is published. */
static plr_status check_beginning(rebuilding *r, plr_error *err) {
  plr_hash leaves[WIDTH] = {{{0}}}, ours, theirs;
  const plr_hash *bundles = r->edge;
  uint64_t have = r->l->head.frontier.size;
  uint32_t width;
  if (have > r->size) return check_older(r, err);
  if (have >> 8 & 255) PLR_TRY(run_hashes(r, have >> 16, &bundles, err));
  if (have & 255) PLR_TRY(read_bundle(r, have >> 8, leaves, &width, err));
  plr__frontier_root(&r->l->head.frontier, &ours);
  root_at(r, have, bundles, leaves, &theirs);
  if (have == 0 || plr__hash_equal(&ours, &theirs)) return PLR_OK;
  return other_history(have, err);
}

static plr_status check_genesis(const rebuilding *r, const uint8_t *entry, size_t len,
                                plr_error *err) {
  plr_entry e;
  PLR_TRY(plr__entry_decode(entry, len, &e, err));
  if (e.type == PLR_ENTRY_GENESIS && strcmp(e.as.genesis.origin, r->o.origin) == 0 &&
      memcmp(e.as.genesis.sequencer_key, r->o.public_key, 32) == 0)
    return PLR_OK;
  return plr__fail(err, PLR_ERR_MISMATCH, "rebuild", "the log does not begin with Genesis of it");
}

static plr_status flush(rebuilding *r, plr_error *err) {
  size_t at = 0;
  for (uint32_t i = 0; i < r->count; i++) { /* the buffer has moved while it grew */
    r->items[i].entry = r->data.data + at;
    at += r->items[i].len;
  }
  if (r->count) PLR_TRY(plr__ledger_append_items(r->l, r->items, r->count, err));
  r->count = 0;
  plr__buffer_clear(&r->data);
  if (r->o.progress) r->o.progress(r->o.user, r->l->head.frontier.size, r->size);
  return PLR_OK;
}

/* Takes the entries of a bundle that was checked, from its `skip`th on. */
static plr_status take(rebuilding *r, uint32_t width, uint32_t skip, plr_error *err) {
  plr_reader in;
  plr__reader_init(&in, r->file.data, r->file.len);
  for (uint32_t i = 0; i < width; i++) {
    size_t len = plr__read_be16(&in);
    const uint8_t *entry = plr__read_bytes(&in, len);
    if (i < skip) continue;
    if (r->l->head.frontier.size == 0 && r->count == 0) PLR_TRY(check_genesis(r, entry, len, err));
    r->items[r->count++] = (plr_append_item){.len = len};
    plr__buffer_put(&r->data, entry, len);
  }
  if (r->data.failed) return plr__no_memory(err, "rebuild");
  return r->count + WIDTH > GROUP || r->data.len >= GROUP_SIZE ? flush(r, err) : PLR_OK;
}

static plr_status take_all(rebuilding *r, plr_error *err) {
  plr_hash leaves[WIDTH];
  uint64_t at = r->l->head.frontier.size;
  while (at < r->size) {
    uint32_t width, skip = (uint32_t)(at & 255);
    PLR_TRY(read_bundle(r, at >> 8, leaves, &width, err));
    PLR_TRY(take(r, width, skip, err));
    at += width - skip;
  }
  return flush(r, err);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static plr_status read_checkpoint(rebuilding *r, plr_error *err) {
  PLR_TRY(read_file(r, "checkpoint", 4096, PLR__NOTE_MAX, err));
  plr__buffer_put(&r->note, r->file.data, r->file.len);
  if (r->note.failed) return plr__no_memory(err, "rebuild");
  PLR_TRY(plr_log_verify_checkpoint((const char *)r->note.data, r->note.len, r->o.origin,
                                    r->o.public_key, &r->size, &r->root, err));
  if (r->size) return PLR_OK;
  return plr__fail(err, PLR_ERR_MALFORMED, "checkpoint", "of an empty log");
}

static plr_status follow(rebuilding *r, plr_error *err) {
  plr_ledger *l = r->l;
  plr_hash root;
  uint64_t before = l->head.frontier.size;
  PLR_TRY(read_checkpoint(r, err));
  PLR_TRY(read_tree(r, err));
  PLR_TRY(check_beginning(r, err));
  l->state.trust_signatures = r->o.skip_signatures;
  PLR_TRY(take_all(r, err));
  plr__frontier_root(&l->head.frontier, &root);
  if (!plr__hash_equal(&root, &r->root))
    return plr__fail(err, PLR_ERR_INTERNAL, "rebuild", "the tree that was built has another root");
  PLR_TRY(plr__state_audit(&l->state, err));
  PLR_TRY(plr__store_record(&l->store, "checkpoint", r->note.data, r->note.len, err));
  l->signed_size = r->size;
  return before == r->size || !l->store.persistent ? PLR_OK : plr__snapshot_store(l, err);
}

plr_status plr__ledger_follow(plr_ledger *copy, const plr_log_reader *from,
                              const plr_verify_options *verify, plr_error *err) {
  plr_context *ctx = copy->ctx;
  rebuilding *r = plr__calloc(ctx, 1, sizeof *r);
  if (!r) return plr__no_memory(err, "rebuild");
  r->l = copy;
  r->from = from;
  r->o = *verify;
  plr__buffer_init(&r->note, ctx);
  plr__buffer_init(&r->file, ctx);
  plr__buffer_init(&r->data, ctx);
  plr__buffer_init(&r->tops, ctx);
  plr_status st = follow(r, err);
  plr__buffer_release(&r->note);
  plr__buffer_release(&r->file);
  plr__buffer_release(&r->data);
  plr__buffer_release(&r->tops);
  plr__free(ctx, r);
  return st;
}

plr_status plr_ledger_rebuild(plr_context *ctx, const plr_ledger_options *options,
                              const plr_log_reader *from, const plr_verify_options *verify,
                              plr_ledger_summary *summary, plr_error *err) {
  plr_verify_options o;
  if (!ctx || !options || !from || !from->read || !verify)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "rebuild",
                     "ctx, options, from or verify is NULL");
  plr_ledger *l;
  PLR_TRY(plr__verify_options_read(&o, verify, err));
  PLR_TRY(plr__ledger_open_copy(ctx, options, &l, err));
  plr_status st = l->store.persistent ? plr__ledger_follow(l, from, &o, err)
                                      : plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger.path",
                                                  "neither path nor store");
  if (st == PLR_OK && summary) st = plr__summarize(&l->state, &l->head, summary);
  plr_ledger_destroy(l);
  return st;
}

/* ---- from a folder ------------------------------------------------------------------------------- */

typedef struct folder {
  plr_context *ctx;
  plr_buffer path;
  size_t root; /* bytes of the path that are the folder's */
} folder;

static plr_status folder_read(void *user, const char *path, void *buf, size_t cap, size_t *len) {
  folder *f = user;
  plr_source s;
  f->path.len = f->root;
  PLR_TRY(plr__buffer_printf(&f->path, "/%s", path));
  plr__buffer_u8(&f->path, 0);
  if (f->path.failed) return PLR_ERR_NO_MEMORY;
  PLR_TRY(plr_source_open_path(f->ctx, (const char *)f->path.data, &s, NULL));
  *len = (size_t)s.size;
  plr_status st = s.size <= cap ? s.read_at(s.user, 0, buf, *len) : PLR_ERR_BUFFER_TOO_SMALL;
  s.close(s.user);
  return st;
}

plr_status plr_ledger_rebuild_path(plr_context *ctx, const plr_ledger_options *options,
                                   const char *path, const plr_verify_options *verify,
                                   plr_ledger_summary *summary, plr_error *err) {
  if (!ctx || !path || !*path)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "rebuild", "ctx or folder is missing");
  folder f = {.ctx = ctx};
  plr__buffer_init(&f.path, ctx);
  plr__buffer_put(&f.path, path, strlen(path));
  f.root = f.path.len;
  plr_log_reader from = {&f, folder_read};
  plr_status st = f.path.failed ? plr__no_memory(err, "rebuild")
                                : plr_ledger_rebuild(ctx, options, &from, verify, summary, err);
  plr__buffer_release(&f.path);
  return st;
}
