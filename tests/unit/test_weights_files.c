/* Checkpoints: a shard reads its own tensors and no others, from one file or many, and writes what it read. */
#include "weights_common.h"

#include <math.h>

#include "shard/convert.h"

/* Another seed: what is loaded must not be what would have been made. */
#define OTHER_JSON                                                                                 \
  "{\"format\": \"pluralis-model/1\", \"name\": \"other\", \"family\": \"llama\", "                \
  "\"vocab\": \"bytes\", \"blocks\": 8, \"d_model\": 32, \"heads\": 4, \"kv_heads\": 2, "          \
  "\"head_dim\": 8, \"d_ff\": 48, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "                     \
  "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 99, \"cuts\": [2, 4, 6], "                    \
  "\"boundary\": {\"kind\": \"dense\"}, " TINY_TRAIN

typedef struct fixture {
  plr_context *ctx;
  plr_model *model, *other;
  plr_shard *whole; /* what the files hold */
  file one;         /* all of it */
} fixture;

static void set_up(fixture *x) {
  memset(x, 0, sizeof *x);
  x->ctx = new_context();
  x->model = new_model(x->ctx, DENSE_JSON);
  x->other = new_model(x->ctx, OTHER_JSON);
  x->whole = new_shard(x->ctx, x->model, 0, 8);
  export_to(x->whole, PLR_DTYPE_F32, &x->one);
}

static void tear_down(fixture *x) {
  plr_shard_destroy(x->whole);
  plr_model_destroy(x->model);
  plr_model_destroy(x->other);
  files_release(&x->one, 1);
  plr_context_destroy(x->ctx);
}

static void test_round_trip(void **state) {
  (void)state;
  fixture x;
  plr_error err;
  set_up(&x);
  plr_weights *w = open_file(x.ctx, &x.one);
  assert_int_equal(plr_weights_count(w), plr_shard_parameters(x.whole));
  plr_shard *loaded = load_shard(x.ctx, x.other, w, 0, 8, &err);
  assert_non_null(loaded);
  assert_same_weights(loaded, x.whole);
  assert_int_equal(plr_shard_steps(loaded), 0);
  plr_weights_destroy(w); /* not needed any more */
  assert_int_equal(x.one.closed, 1);
  file again = {.len = 0};
  export_to(loaded, PLR_DTYPE_F32, &again);
  assert_int_equal(again.len, x.one.len);
  assert_memory_equal(again.data, x.one.data, again.len);
  plr_shard_destroy(loaded);
  files_release(&again, 1);
  tear_down(&x);
}

static void test_list(void **state) {
  (void)state;
  fixture x;
  plr_error err;
  set_up(&x);
  plr_error_init(&err, sizeof err);
  plr_weights *w = open_file(x.ctx, &x.one);
  int found = 0;
  for (uint32_t i = 0; i < plr_weights_count(w); i++) {
    plr_weights_tensor t = {.struct_size = sizeof t};
    assert_int_equal(plr_weights_get(w, i, &t, &err), PLR_OK);
    assert_int_equal(t.dtype, PLR_DTYPE_F32);
    assert_string_equal(t.file, "");
    if (strcmp(t.name, "blocks.2.mlp.up.weight") != 0) continue;
    found = 1;
    assert_int_equal(t.ndim, 2);
    assert_int_equal(t.shape[0], 32);
    assert_int_equal(t.shape[1], 48);
    assert_int_equal(t.bytes, 32 * 48 * 4);
  }
  assert_true(found);
  plr_weights_tensor t = {.struct_size = sizeof t};
  assert_int_equal(plr_weights_get(w, plr_weights_count(w), &t, &err), PLR_ERR_INVALID_ARGUMENT);
  plr_weights_destroy(w);
  tear_down(&x);
}

/* Bytes of the shard's parameters. */
static uint64_t bytes_of(plr_shard *shard) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < plr_shard_parameters(shard); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    assert_int_equal(plr_shard_parameter(shard, i, &p), PLR_OK);
    n += (uint64_t)p.rows * (uint64_t)p.cols * 4;
  }
  return n;
}

static void test_by_range(void **state) {
  (void)state;
  static const uint32_t cuts[] = {0, 3, 5, 8};
  fixture x;
  plr_error err;
  set_up(&x);
  plr_weights *w = open_file(x.ctx, &x.one);
  assert_int_equal(x.one.bytes_read, 8 + plr__load_le64(x.one.data)); /* the header only */
  for (int i = 0; i < 3; i++) {
    x.one.bytes_read = 0;
    plr_shard *part = load_shard(x.ctx, x.other, w, cuts[i], cuts[i + 1], &err);
    assert_non_null(part);
    assert_int_equal(x.one.bytes_read, bytes_of(part));
    assert_same_weights(part, x.whole);
    plr_shard_destroy(part);
  }
  plr_weights_destroy(w);
  tear_down(&x);
}

/* ---- many files ------------------------------------------------------------------------------- */

typedef struct sharded {
  file files[3];
  file index;
  folder folder;
} sharded;

static void make_sharded(fixture *x, sharded *s) {
  static const uint32_t cuts[] = {0, 2, 6, 8};
  const char *names[3];
  plr_source sources[3];
  memset(s, 0, sizeof *s);
  s->folder.files = s->files, s->folder.count = 3;
  for (int i = 0; i < 3; i++) {
    plr_error err;
    snprintf(s->files[i].name, sizeof s->files[i].name, "model-%05d-of-00003.safetensors", i + 1);
    plr_weights *w = open_file(x->ctx, &x->one);
    plr_shard *part = load_shard(x->ctx, x->model, w, cuts[i], cuts[i + 1], &err);
    assert_non_null(part);
    export_to(part, PLR_DTYPE_F32, &s->files[i]);
    plr_shard_destroy(part);
    plr_weights_destroy(w);
    names[i] = s->files[i].name;
    sources[i] = (plr_source){&s->files[i], s->files[i].len, file_read, NULL};
  }
  plr_sink sink = file_sink(&s->index);
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_weights_write_index(x->ctx, names, sources, 3, &sink, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  assert_int_equal(s->index.commits, 1);
}

static plr_status open_sharded(plr_context *ctx, sharded *s, plr_weights **w, plr_error *err) {
  plr_source_opener opener = {&s->folder, folder_open};
  plr_error_init(err, sizeof *err);
  return plr_weights_open_index(ctx, (const char *)s->index.data, s->index.len, &opener, w, err);
}

static void release_sharded(sharded *s) {
  files_release(s->files, 3);
  files_release(&s->index, 1);
}

static void test_many_files(void **state) {
  (void)state;
  fixture x;
  sharded s;
  plr_weights *w;
  plr_error err;
  set_up(&x);
  make_sharded(&x, &s);
  assert_non_null(strstr((char *)s.index.data, "\"total_size\":"));
  assert_int_equal(open_sharded(x.ctx, &s, &w, &err), PLR_OK);
  assert_int_equal(plr_weights_count(w), plr_shard_parameters(x.whole));
  for (int i = 0; i < 3; i++) s.files[i].bytes_read = 0;
  plr_shard *part = load_shard(x.ctx, x.other, w, 3, 5, &err);
  assert_non_null(part);
  assert_same_weights(part, x.whole);
  assert_int_equal(s.files[0].opened, 0); /* a file without a tensor of ours is not even opened */
  assert_int_equal(s.files[2].opened, 0);
  assert_int_equal(s.files[1].bytes_read, 8 + plr__load_le64(s.files[1].data) + bytes_of(part));
  plr_shard_destroy(part);
  plr_shard *all = load_shard(x.ctx, x.other, w, 0, 8, &err);
  assert_non_null(all);
  assert_same_weights(all, x.whole);
  plr_weights_tensor t = {.struct_size = sizeof t};
  assert_int_equal(plr_weights_get(w, plr_weights_count(w) - 1, &t, &err), PLR_OK);
  assert_string_equal(t.name, "norm.weight");
  assert_string_equal(t.file, "model-00003-of-00003.safetensors");
  plr_shard_destroy(all);
  plr_weights_destroy(w);

  snprintf(s.files[2].name, sizeof s.files[2].name, "elsewhere");
  assert_int_equal(open_sharded(x.ctx, &s, &w, &err), PLR_OK);
  assert_null(load_shard(x.ctx, x.other, w, 6, 8, &err));
  assert_int_equal(err.status, PLR_ERR_NOT_FOUND);
  assert_string_equal(err.where, "model-00003-of-00003.safetensors");
  plr_weights_destroy(w);
  release_sharded(&s);
  tear_down(&x);
}

/* Puts `text` in the place of the first `from` in the index. */
static void replace(file *index, const char *from, const char *text) {
  char *at, *copy = calloc(1, index->len + strlen(text) + 1);
  file_append(index, "", 1);
  at = strstr((char *)index->data, from);
  assert_non_null(at);
  size_t before = (size_t)(at - (char *)index->data);
  memcpy(copy, index->data, before);
  strcpy(copy + before, text);
  strcat(copy, at + strlen(from));
  index->len = 0;
  file_append(index, copy, strlen(copy));
  free(copy);
}

static const struct {
  const char *from, *to;
  plr_status status;
  const char *says;
} bad_index[] = {
    {"\"model-00001-of-00003.safetensors\"", "\"../model-00001-of-00003.safetensors\"",
     PLR_ERR_MALFORMED, "holds a path"},
    {"\"model-00001-of-00003.safetensors\"", "\"a/../../x\"", PLR_ERR_MALFORMED, "holds a path"},
    {"\"model-00001-of-00003.safetensors\"", "\"/etc/x\"", PLR_ERR_MALFORMED, "holds a path"},
    {"\"model-00001-of-00003.safetensors\"", "\"a\\\\b\"", PLR_ERR_MALFORMED, "holds a path"},
    {"\"model-00001-of-00003.safetensors\"", "\"c:x\"", PLR_ERR_MALFORMED, "holds a path"},
    {"\"model-00001-of-00003.safetensors\"", "\"\"", PLR_ERR_MALFORMED, "is empty"},
    {"\"model-00001-of-00003.safetensors\"", "\"a\\nb\"", PLR_ERR_MALFORMED, "control character"},
    {"\"model-00001-of-00003.safetensors\"", "7", PLR_ERR_MALFORMED, "string must be here"},
    {"\"weight_map\"", "\"weights\"", PLR_ERR_MALFORMED, "unknown key \"weights\""},
    {"\"weight_map\":{", "\"weight_map\":{},\"weight_map\":{", PLR_ERR_MALFORMED, "repeated"},
    {"\"weight_map\":{", "\"weight_map\":{\"norm.weight\":\"model-00003-of-00003.safetensors\",",
     PLR_ERR_MALFORMED, "tensor norm.weight is there twice"},
    {"}}\n", "}", PLR_ERR_MALFORMED, "',' or '}' must be here"},
    {"}}\n", "}} x", PLR_ERR_MALFORMED, "follows the end"},
    /* These are found when the file is opened. */
    {"\"norm.weight\":\"model-00003", "\"norm.weight\":\"model-00002", PLR_OK,
     "the index puts tensor norm.weight in this file"},
    {"\"norm.weight\":\"model-00003-of-00003.safetensors\"",
     "\"norm.weight\":\"model-00003-of-00003.safetensors\",\"more\":"
     "\"model-00003-of-00003.safetensors\"",
     PLR_OK, "the index puts tensor more in this file, which does not hold it"},
};

static void test_bad_index(void **state) {
  (void)state;
  fixture x;
  set_up(&x);
  for (size_t i = 0; i < sizeof bad_index / sizeof *bad_index; i++) {
    sharded s;
    plr_weights *w = NULL;
    plr_error err;
    make_sharded(&x, &s);
    replace(&s.index, bad_index[i].from, bad_index[i].to);
    plr_status st = open_sharded(x.ctx, &s, &w, &err);
    if (st != bad_index[i].status)
      fail_msg("%s: %s %s", bad_index[i].to, plr_status_name(st), err.message);
    if (st == PLR_OK) assert_null(load_shard(x.ctx, x.model, w, 0, 8, &err));
    if (!strstr(err.message, bad_index[i].says)) fail_msg("%s: %s", bad_index[i].to, err.message);
    plr_weights_destroy(w);
    release_sharded(&s);
  }
  tear_down(&x);
}

static void test_tensor_in_two_files(void **state) {
  (void)state;
  fixture x;
  sharded s;
  plr_weights *w;
  plr_error err;
  set_up(&x);
  make_sharded(&x, &s);
  export_to(x.whole, PLR_DTYPE_F32, &s.files[0]); /* it now holds everything */
  assert_int_equal(open_sharded(x.ctx, &s, &w, &err), PLR_OK);
  assert_null(load_shard(x.ctx, x.model, w, 0, 2, &err));
  assert_int_equal(err.status, PLR_ERR_MALFORMED);
  assert_string_equal(err.where, s.files[0].name);
  assert_non_null(strstr(err.message, "which the index puts in model-0000"));
  plr_weights_destroy(w);

  const char *names[2] = {"a", "b"};
  plr_source sources[2] = {{&s.files[0], s.files[0].len, file_read, NULL},
                           {&s.files[1], s.files[1].len, file_read, NULL}};
  plr_sink sink = file_sink(&s.index);
  assert_int_equal(plr_weights_write_index(x.ctx, names, sources, 2, &sink, &err),
                   PLR_ERR_MALFORMED);
  assert_non_null(strstr(err.message, "is in an earlier file too"));
  assert_int_equal(s.index.aborts, 1);
  names[0] = "../a";
  sink = file_sink(&s.index);
  assert_int_equal(plr_weights_write_index(x.ctx, names, sources, 1, &sink, &err),
                   PLR_ERR_MALFORMED);
  assert_int_equal(s.index.aborts, 1);
  release_sharded(&s);
  tear_down(&x);
}

/* ---- what is refused in a tensor -------------------------------------------------------------- */

/* Replaces the first `from` in the header by a text of the same length. */
static void edit_header(file *f, const char *from, const char *to) {
  size_t n = strlen(from);
  assert_int_equal(n, strlen(to));
  for (size_t i = 8; i + n < f->len; i++)
    if (memcmp(f->data + i, from, n) == 0) {
      memcpy(f->data + i, to, n);
      return;
    }
  fail_msg("no %s", from);
}

static void expect(fixture *x, plr_status status, const char *says) {
  plr_error err;
  plr_weights *w = open_file(x->ctx, &x->one);
  assert_null(load_shard(x->ctx, x->other, w, 0, 8, &err));
  if (err.status != status || !strstr(err.message, says))
    fail_msg("%s: %s", plr_status_name((plr_status)err.status), err.message);
  plr_weights_destroy(w);
}

static void test_bad_tensors(void **state) {
  (void)state;
  fixture x;
  set_up(&x);
  edit_header(&x.one, "blocks.4.attn.k", "blocks.4.attn.c");
  expect(&x, PLR_ERR_NOT_FOUND, "no tensor blocks.4.attn.k.weight");
  edit_header(&x.one, "blocks.4.attn.c", "blocks.4.attn.k");
  edit_header(&x.one, "[32,48]", "[48,32]");
  expect(&x, PLR_ERR_MISMATCH, "has shape [48, 32], the model's blocks.0.mlp.gate.weight needs");
  edit_header(&x.one, "[48,32]", "[32,48]");
  edit_header(&x.one, "\"F32\"", "\"I32\"");
  expect(&x, PLR_ERR_UNSUPPORTED, "dtype I32; F32, F16 and BF16 are read");
  edit_header(&x.one, "\"I32\"", "\"F32\"");
  x.one.fails_at = x.one.len - 100;
  expect(&x, PLR_ERR_IO, "cannot be read");
  x.one.fails_at = 0;
  float nan = NAN;
  memcpy(x.one.data + x.one.len - 40, &nan, sizeof nan);
  expect(&x, PLR_ERR_NON_FINITE, "tensor head.weight: a value in rows");
  tear_down(&x);
}

/* ---- element types ---------------------------------------------------------------------------- */

static void test_halves(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    uint8_t bytes[2] = {(uint8_t)h, (uint8_t)(h >> 8)};
    int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    double want = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (h & 0x8000) want = -want;
    float got = plr__read_f16(bytes);
    if (exponent == 31) {
      assert_true(plr__not_finite(got));
      assert_int_equal(isnan(got) != 0, fraction != 0);
    } else {
      assert_true((double)got == want && (signbit(got) != 0) == (h >> 15 != 0));
    }
    float b = plr__read_bf16(bytes);
    assert_int_equal(plr__bits_of_float(b), h << 16);
    if (!plr__not_finite(b)) assert_int_equal(plr__bf16_of(b), h);
  }
  assert_int_equal(plr__bf16_of(plr__float_of_bits(0x3f808000)), 0x3f80); /* ties to even */
  assert_int_equal(plr__bf16_of(plr__float_of_bits(0x3f818000)), 0x3f82);
  assert_int_equal(plr__bf16_of(plr__float_of_bits(0x3f808001)), 0x3f81);
}

static void test_bf16(void **state) {
  (void)state;
  fixture x;
  plr_error err;
  set_up(&x);
  file half = {.len = 0};
  export_to(x.whole, PLR_DTYPE_BF16, &half);
  assert_true(half.len < x.one.len * 6 / 10);
  plr_weights *w = open_file(x.ctx, &half);
  plr_shard *loaded = load_shard(x.ctx, x.other, w, 0, 8, &err);
  assert_non_null(loaded);
  static const char *const names[] = {"head.weight", "blocks.3.attn_norm.weight", "embed.weight"};
  for (int k = 0; k < 3; k++) {
    size_t n = 0, m = 0;
    float *a = weights_of(loaded, names[k], &n), *b = weights_of(x.whole, names[k], &m);
    for (size_t i = 0; i < n; i++)
      assert_int_equal(plr__bits_of_float(a[i]), (uint32_t)plr__bf16_of(b[i]) << 16);
    free(a);
    free(b);
  }
  file again = {.len = 0};
  export_to(loaded, PLR_DTYPE_BF16, &again);
  assert_memory_equal(again.data, half.data, half.len);
  plr_shard_destroy(loaded);
  plr_weights_destroy(w);
  files_release(&half, 1);
  files_release(&again, 1);
  tear_down(&x);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void test_full_disk(void **state) {
  (void)state;
  fixture x;
  plr_error err;
  set_up(&x);
  file f = {.len = 0};
  for (size_t at = 1; at < x.one.len; at += x.one.len / 7) {
    f.fail_after = at;
    plr_sink sink = file_sink(&f);
    plr_error_init(&err, sizeof err);
    assert_int_equal(plr_shard_export(x.whole, PLR_DTYPE_F32, &sink, &err), PLR_ERR_NO_SPACE);
    assert_int_equal(f.aborts, 1);
    assert_int_equal(f.commits, 0);
    assert_true(strlen(err.message) > 0);
  }
  plr_sink sink = file_sink(&f);
  assert_int_equal(plr_shard_export(x.whole, PLR_DTYPE_I32, &sink, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(f.aborts, 1);
  files_release(&f, 1);
  tear_down(&x);
}

/* ---- memory ----------------------------------------------------------------------------------- */

typedef struct scarce {
  int left, held; /* allocations that still succeed; blocks that were not freed */
} scarce;

static void *scarce_alloc(void *user, size_t size, size_t align) {
  scarce *s = user;
  if (s->left-- <= 0) return NULL;
  s->held++;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

static void scarce_free(void *user, void *ptr, size_t size, size_t align) {
  (void)size, (void)align;
  ((scarce *)user)->held--;
  free(ptr);
}

/* Everything that loading allocates, failing one after the other. */
static int try_with(fixture *x, sharded *files, int allocations) {
  static const char config[] =
      "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 48, "
      "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"vocab_size\": 96, "
      "\"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-5}";
  scarce s = {.left = allocations};
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.allocator = (plr_allocator){&s, scarce_alloc, scarce_free};
  plr_context *ctx = NULL;
  plr_weights *w = NULL;
  plr_model *published = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_context_create(&o, &ctx, &err);
  if (st == PLR_OK) st = open_sharded(ctx, files, &w, &err);
  if (st == PLR_OK)
    st = plr_model_from_config(ctx, config, sizeof config - 1, NULL, &published, &err);
  plr_model *model = NULL;
  if (st == PLR_OK) st = plr_model_from_json(ctx, DENSE_JSON, strlen(DENSE_JSON), &model, &err);
  plr_shard *shard = NULL;
  if (st == PLR_OK) {
    shard = load_shard(ctx, model, w, 1, 3, &err);
    st = shard ? PLR_OK : (plr_status)err.status;
  }
  file f = {.len = 0};
  plr_sink sink = file_sink(&f);
  if (st == PLR_OK) st = plr_shard_export(shard, PLR_DTYPE_F32, &sink, &err);
  if (st == PLR_OK) assert_same_weights(shard, x->whole);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_model_destroy(published);
  plr_weights_destroy(w);
  plr_context_destroy(ctx);
  files_release(&f, 1);
  assert_int_equal(s.held, 0);
  if (st != PLR_OK) assert_int_equal(st, PLR_ERR_NO_MEMORY);
  return st == PLR_OK;
}

static void test_out_of_memory(void **state) {
  (void)state;
  fixture x;
  sharded s;
  set_up(&x);
  make_sharded(&x, &s);
  int enough = 0, refused = 0;
  for (int n = 0; !enough && n < 20000; n += 1 + n / 40) {
    enough = try_with(&x, &s, n);
    refused += !enough;
  }
  assert_true(enough);
  assert_true(refused > 40);
  release_sharded(&s);
  tear_down(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_list),
      cmocka_unit_test(test_by_range),      cmocka_unit_test(test_many_files),
      cmocka_unit_test(test_bad_index),     cmocka_unit_test(test_tensor_in_two_files),
      cmocka_unit_test(test_bad_tensors),   cmocka_unit_test(test_halves),
      cmocka_unit_test(test_bf16),          cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
