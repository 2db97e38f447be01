/* Resharding: what one split saved any other loads, block by block, and goes on with the same bits; parts that do not
 * belong together are refused; nobody reads more than its own blocks. */
#include "snapshot_kit.h"

#include "shard/shard_int.h"

static const uint32_t uneven[2] = {3, 7};

static void sources_of(memory *m, uint32_t count, plr_source *out) {
  for (uint32_t i = 0; i < count; i++) out[i] = source_of(&m[i]);
}

static void save_all(row *r, memory *m) {
  for (uint32_t i = 0; i < r->count; i++) save(r->shards[i], &m[i]);
}

static void load_all(row *r, const plr_source *parts, uint32_t count) {
  for (uint32_t i = 0; i < r->count; i++) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    if (plr_shard_load_parts(r->shards[i], parts, count, &err) != PLR_OK)
      fail_msg("%s: %s", err.where, err.message);
  }
}

static void free_all(memory *m, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) free(m[i].data);
}

/* Trains `from` shards for 3 steps, saves, and goes on; the other split loads and goes on: same losses and root. */
static void reshard(fixture *f, const char *json, const uint32_t *cuts_a, uint32_t count_a,
                    const uint32_t *cuts_b, uint32_t count_b) {
  row a, b;
  memory parts[8] = {{0}};
  plr_source sources[8];
  plr_hash root_a, root_b, saved;
  row_init(&a, f->ctx, json, cuts_a, count_a);
  row_init(&b, f->ctx, json, cuts_b, count_b);
  for (int i = 0; i < 3; i++) row_step(&a, f->corpus);
  save_all(&a, parts);
  sources_of(parts, count_a, sources);
  row_root(&a, cuts_a, &saved);

  plr_snapshot_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_snapshot_inspect(f->ctx, a.model, sources, count_a, &info, NULL), PLR_OK);
  assert_int_equal(info.blocks, a.info.blocks);
  assert_int_equal(info.steps, 3);
  assert_memory_equal(&info.root, &saved, sizeof saved);

  load_all(&b, sources, count_a);
  row_root(&b, cuts_b, &root_b);
  assert_memory_equal(&saved, &root_b, sizeof saved);
  for (int i = 0; i < 3; i++) {
    double x = row_step(&a, f->corpus), y = row_step(&b, f->corpus);
    assert_memory_equal(&x, &y, sizeof x);
  }
  row_root(&a, cuts_a, &root_a);
  row_root(&b, cuts_b, &root_b);
  assert_memory_equal(&root_a, &root_b, sizeof root_a);
  row_release(&a);
  row_release(&b);
  free_all(parts, count_a);
}

static void test_any_split_into_any_other(void **state) {
  (void)state;
  fixture f = set_up();
  reshard(&f, DENSE_JSON, cuts, 4, NULL, 1);
  reshard(&f, DENSE_JSON, NULL, 1, cuts, 4);
  reshard(&f, DENSE_JSON, cuts, 4, uneven, 3);
  reshard(&f, SUBSPACE_JSON, cuts, 4, cuts, 2);
  reshard(&f, SUBSPACE_JSON, cuts, 2, cuts, 4);
  tear_down(&f);
}

/* Parts in any order, and only those that are needed. */
static void test_order_and_choice(void **state) {
  (void)state;
  fixture f = set_up();
  row r, other;
  memory m[4] = {{0}};
  plr_source s[4], shuffled[4];
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_init(&other, f.ctx, DENSE_JSON, uneven, 3); /* 0-2, 3-6, 7 */
  row_step(&r, f.corpus);
  save_all(&r, m);
  sources_of(m, 4, s);
  for (int i = 0; i < 4; i++) shuffled[i] = s[(i * 3 + 2) % 4];
  assert_int_equal(plr_shard_load_parts(other.shards[1], shuffled, 4, NULL), PLR_OK);
  assert_int_equal(plr_shard_load_parts(other.shards[1], s + 1, 3, NULL), PLR_OK); /* 2-7 do */
  assert_int_equal(plr_shard_load(other.shards[2], s + 3, NULL), PLR_OK);

  plr_hash leaves[8], theirs[8];
  assert_int_equal(plr_shard_leaves(other.shards[1], theirs, 4), PLR_OK);
  for (uint32_t i = 0; i < 4; i++)
    assert_int_equal(plr_shard_leaves(r.shards[i], leaves + 2 * i, 2), PLR_OK);
  assert_memory_equal(leaves + 3, theirs, 4 * sizeof *leaves);

  plr_snapshot_info info = {.struct_size = sizeof info};
  plr_hash none = {{0}};
  assert_int_equal(plr_snapshot_inspect(f.ctx, r.model, s + 1, 2, &info, NULL), PLR_OK);
  assert_int_equal(info.blocks, 4);
  assert_memory_equal(&info.root, &none, sizeof none);
  row_release(&r);
  row_release(&other);
  free_all(m, 4);
  tear_down(&f);
}

static void refuse(plr_shard *shard, const plr_source *parts, uint32_t count, plr_status want,
                   const char *where, const char *message) {
  plr_hash before[8], after[8];
  plr_error err;
  plr_error_init(&err, sizeof err);
  uint32_t blocks = shard->end_block - shard->first_block;
  assert_int_equal(plr_shard_leaves(shard, before, blocks), PLR_OK);
  plr_status st = plr_shard_load_parts(shard, parts, count, &err);
  assert_int_equal(plr_shard_leaves(shard, after, blocks), PLR_OK);
  assert_memory_equal(before, after, blocks * sizeof *before);
  if (st != want || strcmp(err.where, where) != 0 || !strstr(err.message, message))
    fail_msg("%s at %s: %s; expected %s at %s: ..%s..", plr_status_name(st), err.where, err.message,
             plr_status_name(want), where, message);
}

static void test_parts_must_belong_together(void **state) {
  (void)state;
  fixture f = set_up();
  row r, whole, other;
  memory m[4] = {{0}}, later = {0}, strange = {0};
  plr_source s[4], mixed[4];
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_init(&whole, f.ctx, DENSE_JSON, NULL, 1);
  row_init(&other, f.ctx, SUBSPACE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  save_all(&r, m);
  row_step(&r, f.corpus);
  save(r.shards[2], &later);
  save(other.shards[2], &strange);
  sources_of(m, 4, s);
  plr_shard *shard = whole.shards[0];

  refuse(shard, s, 3, PLR_ERR_MISMATCH, "snapshot", "block 6 is not there");
  memcpy(mixed, s, sizeof s);
  mixed[2] = s[1];
  refuse(shard, mixed, 4, PLR_ERR_MISMATCH, "snapshot[2]",
         "holds block 2, and so does snapshot[1]");
  mixed[2] = source_of(&later);
  refuse(shard, mixed, 4, PLR_ERR_MISMATCH, "snapshot[2]", "of step 2");
  mixed[2] = source_of(&strange);
  refuse(shard, mixed, 4, PLR_ERR_MISMATCH, "snapshot[2]", "another model");
  mixed[2] = s[2];
  mixed[2].size -= 1;
  refuse(shard, mixed, 4, PLR_ERR_TRUNCATED, "snapshot[2]", "");
  mixed[2] = s[2];
  m[2].data[m[2].len - 3] ^= 4; /* in the last second moment of block 5 */
  refuse(shard, mixed, 4, PLR_ERR_CHECKSUM, "snapshot[2]", "optimizer.v.blocks.5.mlp.down.weight");
  m[2].data[m[2].len - 3] ^= 4;
  refuse(shard, mixed, 0, PLR_ERR_INVALID_ARGUMENT, "snapshot", "0 parts");
  refuse(shard, mixed, 9, PLR_ERR_INVALID_ARGUMENT, "snapshot", "9 parts");
  assert_int_equal(plr_shard_load_parts(shard, mixed, 4, NULL), PLR_OK);
  row_release(&r);
  row_release(&whole);
  row_release(&other);
  free_all(m, 4);
  free(later.data);
  free(strange.data);
  tear_down(&f);
}

/* Bytes read: the header and the ranges of the blocks; of those the weights only when nothing is trained. */
static void test_only_its_own_ranges(void **state) {
  (void)state;
  fixture f = set_up();
  row one, four;
  memory m = {0};
  row_init(&one, f.ctx, DENSE_JSON, NULL, 1);
  row_init(&four, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&one, f.corpus);
  save(one.shards[0], &m);
  plr_source source = source_of(&m);
  uint64_t numbers = 0, header = (uint64_t)m.data[0] + 256u * m.data[1] + 65536u * m.data[2] + 8;
  for (uint32_t i = 0; i < four.shards[1]->graph.param_count; i++) {
    const plr_param *p = &four.shards[1]->graph.params[i];
    numbers += (uint64_t)(p->rows * p->cols);
  }
  assert_int_equal(plr_shard_load(four.shards[1], &source, NULL), PLR_OK);
  assert_in_range(m.bytes_read, header + 12 * numbers, header + 12 * numbers + 64);

  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 2, o.end_block = 4, o.inference_only = 1;
  plr_shard *reader;
  assert_int_equal(plr_shard_create(f.ctx, one.model, &o, &reader, NULL), PLR_OK);
  m.bytes_read = 0;
  assert_int_equal(plr_shard_load(reader, &source, NULL), PLR_OK);
  assert_in_range(m.bytes_read, header + 4 * numbers, header + 4 * numbers + 64);
  assert_int_equal(plr_shard_steps(reader), 1);
  plr_shard_destroy(reader);
  row_release(&one);
  row_release(&four);
  free(m.data);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_any_split_into_any_other),
      cmocka_unit_test(test_order_and_choice),
      cmocka_unit_test(test_parts_must_belong_together),
      cmocka_unit_test(test_only_its_own_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
