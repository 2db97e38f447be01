/* Format 2: what is refused and where, the canonical hash, and the builder, which must give the same model. */
#include "ops_reference.h"

#define GOOD                                                                                       \
  "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"norm\", \"eps\": "             \
  "1e-3}, " OPS_LINEAR("n", "q", "q", 8) ", " OPS_LINEAR("n", "k", "k", 4) ", " OPS_LINEAR(        \
      "n", "v", "v",                                                                               \
      4) ", {\"op\": \"rope\", \"in\": \"q\", \"out\": \"q\", \"head_dim\": 4, \"theta\": 100, "   \
         "\"scaling\": {\"type\": \"llama3\", \"factor\": 8, \"low_freq\": 1, \"high_freq\": 4, "  \
         "\"original\": 24}}, {\"op\": \"attention\", \"q\": \"q\", \"k\": \"k\", \"v\": \"v\", "  \
         "\"out\": \"a\", \"heads\": 2, \"kv_heads\": 1, \"head_dim\": 4, \"window\": "            \
         "5}, " OPS_LINEAR("a", "o", "o", 12) ", " OPS_ADD(                                        \
             "x", "o", "x") ", "                                                                   \
                            "{\"op\": \"moe\", \"in\": \"x\", \"out\": \"m\", \"name\": \"moe\", " \
                            "\"experts\": 4, "                                                     \
                            "\"top_k\": 2, \"cols\": 6, \"act\": \"silu\", \"std\": 0.6, "         \
                            "\"down_std\": 0.5, "                                                  \
                            "\"balance\": 0.05, \"renormalise\": true}, " OPS_ADD("x", "m", "x")

static const char good[] = OPS_MODEL(GOOD);

typedef struct bad {
  const char *from, *to;
  plr_status status;
  const char *where, *message;
} bad;

#define BLOCK "manifest.blocks[0]"
static const bad bads[] = {
    {"\"op\": \"rope\"", "\"op\": \"rop\"", PLR_ERR_UNSUPPORTED, BLOCK ".ops[4].op", "rop"},
    {"\"op\": \"rope\"", "\"op\": 3", PLR_ERR_MALFORMED, BLOCK ".ops[4].op", "a string"},
    {"\"op\": \"rope\", ", "", PLR_ERR_MALFORMED, BLOCK ".ops[4].op", "missing"},
    {"\"name\": \"q\", ", "", PLR_ERR_MALFORMED, BLOCK ".ops[1].name", "missing"},
    {"\"cols\": 8", "\"cols\": 8, \"rows\": 3", PLR_ERR_MALFORMED, BLOCK ".ops[1].rows", "linear"},
    {"\"cols\": 8", "\"cols\": 8, \"cols\": 8", PLR_ERR_MALFORMED, BLOCK ".ops[1].cols",
     "duplicate"},
    {"\"cols\": 8", "\"cols\": 8x", PLR_ERR_MALFORMED, BLOCK ".ops[1].cols", "line 1"},
    {"\"cols\": 8", "\"cols\": 0", PLR_ERR_MALFORMED, BLOCK ".ops[1].cols", "must be in"},
    {"\"cols\": 8", "\"cols\": 8.5", PLR_ERR_MALFORMED, BLOCK ".ops[1].cols", "whole"},
    {"\"cols\": 8", "\"cols\": 2000000", PLR_ERR_MALFORMED, BLOCK ".ops[1].cols", "must be in"},
    {"\"cols\": 8", "\"cols\": 10", PLR_ERR_MALFORMED, BLOCK ".ops[4].head_dim", "divide"},
    {"\"cols\": 8", "\"cols\": 12", PLR_ERR_MALFORMED, BLOCK ".ops[5].q", "must have 8"},
    {"\"out\": \"k\"", "\"out\": \"kk\"", PLR_ERR_MALFORMED, BLOCK ".ops[5].k", "not a value"},
    {"\"out\": \"k\"", "\"out\": \"k k\"", PLR_ERR_MALFORMED, BLOCK ".ops[2].out", "letters"},
    {"\"out\": \"k\"", "\"out\": \"\"", PLR_ERR_MALFORMED, BLOCK ".ops[2].out", "0 bytes"},
    {"\"out\": \"k\"", "\"out\": \"k\\u0000k\"", PLR_ERR_MALFORMED, NULL, NULL},
    {"\"name\": \"k\"", "\"name\": \"q\"", PLR_ERR_MALFORMED, BLOCK ".ops[2].name", "taken"},
    {"\"name\": \"k\"", "\"name\": \"q.k\"", PLR_ERR_MALFORMED, BLOCK ".ops[2].name", "taken"},
    {"\"name\": \"k\"", "\"name\": \"boundary.k\"", PLR_ERR_MALFORMED, BLOCK ".ops[2].name",
     "reserved"},
    {"\"name\": \"k\"", "\"name\": \"0123456789012345678901234567890123456789x\"",
     PLR_ERR_MALFORMED, BLOCK ".ops[2].name", "41 bytes"},
    {"\"name\": \"embed\"", "\"name\": \"blocks.0.q\"", PLR_ERR_MALFORMED, "manifest.embed[0].name",
     "reserved"},
    {"\"name\": \"embed\"", "\"name\": \"head\"", PLR_ERR_MALFORMED, "manifest.head[1].name",
     "taken"},
    {"\"eps\": 1e-3", "\"eps\": 0", PLR_ERR_MALFORMED, BLOCK ".ops[0].eps", "must be in"},
    {"\"head_dim\": 4, \"theta\"", "\"head_dim\": 3, \"theta\"", PLR_ERR_MALFORMED,
     BLOCK ".ops[4].head_dim", "even"},
    {"\"type\": \"llama3\"", "\"type\": \"ntk\"", PLR_ERR_UNSUPPORTED, BLOCK ".ops[4].scaling.type",
     "ntk"},
    {"\"type\": \"llama3\", ", "", PLR_ERR_MALFORMED, BLOCK ".ops[4].scaling.type", "missing"},
    {"\"factor\": 8, ", "", PLR_ERR_MALFORMED, BLOCK ".ops[4].scaling.factor", "missing"},
    {"\"factor\": 8", "\"factor\": -1", PLR_ERR_MALFORMED, BLOCK ".ops[4].scaling.factor", "in"},
    {"\"factor\": 8", "\"beta_fast\": 8", PLR_ERR_MALFORMED, BLOCK ".ops[4].scaling.beta_fast",
     "llama3"},
    {"\"low_freq\": 1", "\"low_freq\": 5", PLR_ERR_MALFORMED, BLOCK ".ops[4].scaling.low_freq",
     "below"},
    {"\"kv_heads\": 1", "\"kv_heads\": 3", PLR_ERR_MALFORMED, BLOCK ".ops[5].kv_heads", "divide"},
    {"\"kv_heads\": 1", "\"kv_heads\": 2", PLR_ERR_MALFORMED, BLOCK ".ops[5].k", "must have 8"},
    {"\"window\": 5", "\"window\": 0", PLR_ERR_MALFORMED, BLOCK ".ops[5].window", "must be in"},
    {"\"name\": \"o\", \"cols\": 12", "\"name\": \"o\", \"cols\": 11", PLR_ERR_MALFORMED,
     BLOCK ".ops[7].b", "must have 12"},
    {"\"top_k\": 2", "\"top_k\": 5", PLR_ERR_MALFORMED, BLOCK ".ops[8].top_k", "exceed"},
    {"\"act\": \"silu\"", "\"act\": \"tanh\"", PLR_ERR_UNSUPPORTED, BLOCK ".ops[8].act", "tanh"},
    {"\"renormalise\": true", "\"renormalise\": 1", PLR_ERR_MALFORMED, BLOCK ".ops[8].renormalise",
     "true or false"},
    {"\"out\": \"m\"", "\"out\": \"mm\"", PLR_ERR_MALFORMED, BLOCK ".ops[9].b", "not a value"},
    {"\"b\": \"m\"", "\"b\": \"x\"", PLR_ERR_MALFORMED, BLOCK ".ops[8].out", "not used"},
    {"\"b\": \"m\", \"out\": \"x\"", "\"b\": \"m\", \"out\": \"y\"", PLR_ERR_MALFORMED,
     BLOCK ".ops[9].out", "not used"},
    {"\"repeat\": 3", "\"repeat\": 0", PLR_ERR_MALFORMED, BLOCK ".repeat", NULL},
    {"\"repeat\": 3", "\"repeat\": 1025", PLR_ERR_MALFORMED, BLOCK ".repeat", NULL},
    {"\"repeat\": 3, ", "", PLR_ERR_MALFORMED, BLOCK ".repeat", "missing"},
    {"\"repeat\": 3", "\"repeat\": 3, \"again\": 1", PLR_ERR_MALFORMED, BLOCK ".again", "unknown"},
    {"\"op\": \"embedding\", \"out\": \"x\"", "\"op\": \"embedding\", \"out\": \"y\"",
     PLR_ERR_MALFORMED, "manifest.embed", "\"x\""},
    {"{\"op\": \"embedding\", ",
     "{\"op\": \"silu\", \"in\": \"x\", \"out\": \"x\"}, {\"op\": \"embedding\", ",
     PLR_ERR_MALFORMED, "manifest.embed[0].in", "not a value"},
    {"\"op\": \"linear\", \"in\": \"n\", \"out\": \"logits\"",
     "\"op\": \"linear\", \"in\": \"n\", \"out\": \"l\"", PLR_ERR_MALFORMED, "manifest.head",
     "logits"},
    {"\"cols\": 11", "\"cols\": 10", PLR_ERR_MALFORMED, "manifest.head[1].out", "must have 11"},
    {"\"vocab\": 11", "\"vocab\": 1", PLR_ERR_MALFORMED, "manifest.vocab", "must be in"},
    {"\"vocab\": 11", "\"vocab\": 12", PLR_ERR_MALFORMED, "manifest.head[1].out", "must have 12"},
    {"\"z_loss\": 0.02", "\"z_loss\": 2", PLR_ERR_MALFORMED, "manifest.train.z_loss", "must be in"},
    {", \"z_loss\": 0.02", "", PLR_ERR_MALFORMED, "manifest.train.z_loss", "missing"},
    {"\"cuts\": []", "\"cuts\": [3]", PLR_ERR_MALFORMED, "manifest.cuts[0]", NULL},
    {"\"head\": [", "\"tail\": 1, \"head\": [", PLR_ERR_MALFORMED, "manifest.tail", "unknown"},
    {"{\"kind\": \"dense\"}",
     "{\"kind\": \"projector\", \"rank\": 2, \"seed\": 1, \"anchor_std\": 1, "
     "\"tied\": false}",
     PLR_ERR_MALFORMED, "manifest.cuts", "projector"},
};

static void replace(const char *text, const char *from, const char *to, char *out, size_t cap) {
  const char *at = strstr(text, from);
  if (!at) fail_msg("%s is not in the text", from);
  int n = snprintf(out, cap, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  assert_true(n > 0 && (size_t)n < cap);
}

static void refuse(plr_context *ctx, const char *text, const bad *b) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_model *model = (plr_model *)&err;
  plr_status st = plr_model_from_json(ctx, text, strlen(text), &model, &err);
  if (st != b->status || (b->where && strcmp(err.where, b->where) != 0) || err.status != st ||
      (b->message && !strstr(err.message, b->message)))
    fail_msg("%s -> %s: %s at '%s': %s", b->from, b->to, plr_status_name(st), err.where,
             err.message);
  assert_null(model);
}

static void test_refuses_by_name(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model_destroy(new_model(ctx, good));
  for (size_t i = 0; i < PLR_COUNT_OF(bads); i++) {
    char text[8192];
    replace(good, bads[i].from, bads[i].to, text, sizeof text);
    refuse(ctx, text, &bads[i]);
  }
  plr_context_destroy(ctx);
}

/* Learned positions must reach the end of a sequence; a write that a subspace cannot hold is refused by the lint. */
static void test_refuses_what_does_not_fit(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  static const bad positions = {"positions", "of 5", PLR_ERR_MALFORMED, "manifest.train.seq_len",
                                "5"};
  refuse(ctx,
         OPS_MODEL("{\"op\": \"positions\", \"in\": \"x\", \"out\": \"x\", \"name\": \"p\", "
                   "\"std\": 1, \"count\": 5}, " OPS_LINEAR("x", "x", "w", 12)),
         &positions);
#define SUBSPACE(ops)                                                                              \
  OPS_MODEL_WITH(ops, "[1]",                                                                       \
                 "{\"kind\": \"subspace\", \"rank\": 4, \"seed\": 1, \"anchor_std\": 1}")
#define WRITE(in, bias)                                                                            \
  "{\"op\": \"linear\", \"in\": \"" in "\", \"out\": \"o\", \"name\": \"w\", \"cols\": 12, "       \
  "\"std\": 0.4, \"bias\": " bias ", \"write\": true}"
  static const bad open = {"write", "open", PLR_ERR_MALFORMED, "manifest.boundary", "outside"};
  refuse(ctx, SUBSPACE(OPS_LINEAR("x", "o", "w", 12) ", " OPS_ADD("x", "o", "x")), &open);
  refuse(ctx, SUBSPACE(WRITE("x", "true") ", " OPS_ADD("x", "o", "x")), &open);
  refuse(ctx, SUBSPACE(WRITE("x", "false") ", " OPS_ADD("o", "o", "x")), &open); /* no anchor */
  refuse(ctx, SUBSPACE(WRITE("x", "false") ", " OPS_ADD("x", "o", "x") ", " OPS_ADD("x", "x", "x")),
         &open);
  plr_model_destroy(new_model(ctx, SUBSPACE(WRITE("x", "false") ", " OPS_ADD("x", "o", "x"))));
  plr_context_destroy(ctx);
}

/* A block that asks for no counted work could be run for nothing. */
static void test_refuses_free_blocks(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  static const bad idle = {"scale", "only", PLR_ERR_MALFORMED, "manifest.blocks", "no work"};
  refuse(ctx, OPS_MODEL("{\"op\": \"scale\", \"in\": \"x\", \"out\": \"x\", \"by\": 2}"), &idle);
  plr_context_destroy(ctx);
}

static void test_limits(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  char *text = malloc(65536), *ops = malloc(65536);
  for (uint32_t count = 256; count <= 257; count++) { /* operations of a list */
    size_t n = 0;
    for (uint32_t i = 0; i + 1 < count; i++)
      n += (size_t)sprintf(ops + n, "{\"op\":\"silu\",\"in\":\"x\",\"out\":\"x\"}, ");
    sprintf(ops + n, "%s", OPS_LINEAR("x", "x", "w", 12));
    replace(OPS_MODEL("@"), "@", ops, text, 65536);
    static const bad long_list = {"ops", "257", PLR_ERR_MALFORMED, BLOCK ".ops[256]", "256"};
    if (count == 257) refuse(ctx, text, &long_list);
    if (count == 256) plr_model_destroy(new_model(ctx, text));
  }
  char *more = malloc(65536);
  replace(OPS_MODEL(OPS_LINEAR("x", "x", "w", 12)), "\"repeat\": 3", "\"repeat\": 1024", more,
          65536);
  plr_model_destroy(new_model(ctx, more));
  static const bad deep = {"repeat", "1024", PLR_ERR_MALFORMED, BLOCK, "65536"};
  replace(OPS_MODEL("@"), "\"repeat\": 3", "\"repeat\": 1024", more, 65536);
  replace(more, "@", ops + strlen("{\"op\":\"silu\",\"in\":\"x\",\"out\":\"x\"}, ") * 2, text,
          65536);
  refuse(ctx, text, &deep);
  free(more);
  free(ops);
  free(text);
  plr_context_destroy(ctx);
}

static void hash_of(plr_context *ctx, const char *text, plr_hash *out) {
  plr_model *model = new_model(ctx, text);
  plr_model_hash(model, out);
  plr_model_destroy(model);
}

/* The names of values, how repeats are written and the order of keys say nothing; every number does. */
static void test_hash_is_of_the_meaning(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_hash a, b;
  hash_of(ctx, good, &a);
  char text[8192];
  char twice[8192];
  replace(good, "\"out\": \"m\"", "\"out\": \"mixture\"", twice, sizeof twice);
  replace(twice, "\"b\": \"m\"", "\"b\": \"mixture\"", text, sizeof text);
  hash_of(ctx, text, &b);
  assert_memory_equal(&a, &b, sizeof a);
  replace(good, "\"blocks\": [{\"repeat\": 3",
          "\"blocks\": [{\"repeat\": 2, \"ops\": [" GOOD "]}, {\"repeat\": 1", text, sizeof text);
  hash_of(ctx, text, &b);
  assert_memory_equal(&a, &b, sizeof a);
  static const char *edits[][2] = {
      {"\"name\": \"q\"", "\"name\": \"qq\""},
      {"\"repeat\": 3", "\"repeat\": 2"},
      {"\"std\": 0.4", "\"std\": 0.5"},
      {"\"theta\": 100", "\"theta\": 101"},
      {"\"factor\": 8", "\"factor\": 9"},
      {"\"original\": 24", "\"original\": 25"},
      {"\"window\": 5", "\"window\": 4"},
      {"\"top_k\": 2", "\"top_k\": 1"},
      {"\"balance\": 0.05", "\"balance\": 0"},
      {"\"renormalise\": true", "\"renormalise\": false"},
      {"\"act\": \"silu\"", "\"act\": \"gelu\""},
      {"\"z_loss\": 0.02", "\"z_loss\": 0.01"},
      {"\"a\": \"x\", \"b\": \"o\"", "\"a\": \"o\", \"b\": \"x\""},
      {"\"seed\": 5", "\"seed\": 6"},
      {"\"vocab\": 11, \"d_model\": 12", "\"vocab\": 11, \"d_model\":  12"},
  };
  for (size_t i = 0; i < PLR_COUNT_OF(edits); i++) {
    replace(good, edits[i][0], edits[i][1], text, sizeof text);
    hash_of(ctx, text, &b);
    int same = memcmp(&a, &b, sizeof a) == 0, spaces = i + 1 == PLR_COUNT_OF(edits);
    if (same != spaces) fail_msg("%s: the hash is%s the same", edits[i][0], same ? "" : " not");
  }
  plr_context_destroy(ctx);
}

/* SHA-256 of the table in lib/model/README.md, packed by hand (Python: struct and hashlib) for a small model. */
static void test_hash_is_the_documented_one(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_hash hash;
  char hex[65];
  hash_of(ctx, OPS_MODEL(OPS_LINEAR("x", "o", "w", 12) ", " OPS_ADD("x", "o", "x")), &hash);
  plr__hex_encode(hash.bytes, 32, hex);
  assert_string_equal(hex, "2008e683b7eac7f02eeb96243e347c12cbf2c58ed5c903ed853f4b44da7ec422");
  plr_context_destroy(ctx);
}

/* ---- builder ---------------------------------------------------------------------------------- */

static const char rest[] =
    "{\"format\": \"pluralis-model/2\", \"name\": \"ops\", \"vocab\": 11, \"d_model\": 12, "
    "\"seed\": 5, \"cuts\": [], \"boundary\": {\"kind\": \"dense\"}, " OPS_TRAIN;

static plr_op_desc desc_of(uint32_t op, const char *in, const char *out) {
  plr_op_desc d;
  plr_op_desc_init(&d, sizeof d);
  d.op = op, d.in1 = in, d.out = out;
  return d;
}

static plr_op_desc linear_of(const char *in, const char *out, const char *name, uint32_t cols) {
  plr_op_desc d = desc_of(PLR_LAYER_LINEAR, in, out);
  d.name = name, d.cols = cols, d.std = 0.4;
  return d;
}

static plr_op_desc add_of(const char *a, const char *b, const char *out) {
  plr_op_desc d = desc_of(PLR_LAYER_ADD, a, out);
  d.in2 = b;
  return d;
}

static plr_op_desc norm_of(const char *name) {
  plr_op_desc d = desc_of(PLR_LAYER_RMSNORM, "x", "n");
  d.name = name, d.eps = 1e-3;
  return d;
}

static void put(plr_builder *b, plr_op_desc d) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_builder_op(b, &d, &err) != PLR_OK) fail_msg("%s: %s", err.where, err.message);
}

static void begin(plr_builder *b, uint32_t part, uint32_t repeat) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_builder_begin(b, part, repeat, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static void put_block(plr_builder *b) {
  put(b, norm_of("norm"));
  put(b, linear_of("n", "q", "q", 8));
  put(b, linear_of("n", "k", "k", 4));
  put(b, linear_of("n", "v", "v", 4));
  plr_op_desc rope = desc_of(PLR_LAYER_ROPE, "q", "q");
  rope.head_dim = 4, rope.theta = 100, rope.scaling = PLR_SCALING_LLAMA3, rope.factor = 8;
  rope.low_freq = 1, rope.high_freq = 4, rope.original = 24;
  put(b, rope);
  plr_op_desc attention = desc_of(PLR_LAYER_ATTENTION, "q", "a");
  attention.in2 = "k", attention.in3 = "v";
  attention.heads = 2, attention.kv_heads = 1, attention.head_dim = 4, attention.window = 5;
  put(b, attention);
  put(b, linear_of("a", "o", "o", 12));
  put(b, add_of("x", "o", "x"));
  plr_op_desc moe = desc_of(PLR_LAYER_MOE, "x", "m");
  moe.name = "moe", moe.experts = 4, moe.top_k = 2, moe.cols = 6, moe.act = PLR_LAYER_SILU;
  moe.std = 0.6, moe.down_std = 0.5, moe.balance = 0.05, moe.renormalise = 1;
  put(b, moe);
  put(b, add_of("x", "m", "x"));
}

static plr_builder *new_builder(plr_context *ctx) {
  plr_builder *b = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_builder_create(ctx, rest, strlen(rest), &b, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  plr_op_desc embed = desc_of(PLR_LAYER_EMBEDDING, NULL, "x");
  embed.name = "embed", embed.std = 0.7;
  begin(b, PLR_PART_EMBED, 1);
  put(b, embed);
  return b;
}

static void test_builder_gives_the_same_model(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_builder *b = new_builder(ctx);
  plr_model *built = NULL, *read = new_model(ctx, good);
  begin(b, PLR_PART_BLOCK, 3);
  put_block(b);
  begin(b, PLR_PART_HEAD, 1);
  put(b, norm_of("norm"));
  put(b, linear_of("n", "logits", "head", 11));
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_builder_build(b, &built, &err) != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  plr_hash one, two;
  plr_model_hash(built, &one);
  plr_model_hash(read, &two);
  assert_memory_equal(&one, &two, sizeof one);
  plr_model_info x = {.struct_size = sizeof x}, y = {.struct_size = sizeof y};
  assert_int_equal(plr_model_get_info(built, &x), PLR_OK);
  assert_int_equal(plr_model_get_info(read, &y), PLR_OK);
  assert_memory_equal(&x, &y, sizeof x);
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(plr_model_block_cost(built, i), plr_model_block_cost(read, i));
  plr_model *again = NULL;
  assert_int_equal(plr_builder_build(b, &again, NULL), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_builder_begin(b, PLR_PART_HEAD, 1, NULL), PLR_ERR_INVALID_STATE);
  plr_builder_destroy(b);
  plr_model_destroy(built);
  plr_model_destroy(read);
  plr_context_destroy(ctx);
}

static void expect(plr_status st, const plr_error *err, plr_status want, const char *where) {
  if (st != want || strcmp(err->where, where) != 0)
    fail_msg("%s at '%s': %s", plr_status_name(st), err->where, err->message);
}

static void test_builder_refuses(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_builder *b = NULL;
  expect(plr_builder_create(ctx, good, strlen(good), &b, &err), &err, PLR_ERR_MALFORMED,
         "manifest.embed");
  expect(plr_builder_create(ctx, DENSE_JSON, strlen(DENSE_JSON), &b, &err), &err,
         PLR_ERR_UNSUPPORTED, "manifest.format");
  b = new_builder(ctx);
  expect(plr_builder_begin(b, PLR_PART_HEAD, 1, &err), &err, PLR_ERR_INVALID_ARGUMENT, "manifest");
  begin(b, PLR_PART_BLOCK, 3);
  plr_op_desc d = linear_of("x", "o", "w", 12);
  d.theta = 1;
  expect(plr_builder_op(b, &d, &err), &err, PLR_ERR_MALFORMED, BLOCK ".ops[0]");
  d = linear_of("y", "o", "w", 12);
  expect(plr_builder_op(b, &d, &err), &err, PLR_ERR_MALFORMED, BLOCK ".ops[0].in");
  d = linear_of("x", "o", "w", 12), d.std = NAN;
  expect(plr_builder_op(b, &d, &err), &err, PLR_ERR_MALFORMED, BLOCK ".ops[0].std");
  d = linear_of("x", "o", NULL, 12);
  expect(plr_builder_op(b, &d, &err), &err, PLR_ERR_MALFORMED, BLOCK ".ops[0].name");
  d = desc_of(99, "x", "o");
  expect(plr_builder_op(b, &d, &err), &err, PLR_ERR_MALFORMED, BLOCK ".ops[0].op");
  d = linear_of("x", "o", "w", 12), d.struct_size = 3;
  assert_int_equal(plr_builder_op(b, &d, &err), PLR_ERR_INVALID_ARGUMENT);
  put(b, linear_of("x", "o", "w", 12)); /* what was refused changed nothing */
  expect(plr_builder_begin(b, PLR_PART_HEAD, 1, &err), &err, PLR_ERR_MALFORMED, BLOCK);
  d = add_of("x", "o", "x");
  assert_int_equal(plr_builder_op(b, &d, &err), PLR_ERR_INVALID_ARGUMENT);
  plr_model *model = NULL;
  assert_int_equal(plr_builder_build(b, &model, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(model);
  plr_builder_destroy(b);
  plr_builder_destroy(NULL);
  plr_context_destroy(ctx);
}

/* ---- memory that is refused ------------------------------------------------------------------- */

typedef struct budget {
  int left;
  int64_t live;
} budget;

static void *take(void *user, size_t size, size_t align) {
  budget *b = user;
  if (b->left-- <= 0) return NULL;
  void *p = aligned_alloc(align, (size + align - 1) / align * align);
  b->live += p != NULL;
  return p;
}

static void give(void *user, void *p, size_t size, size_t align) {
  (void)size, (void)align;
  ((budget *)user)->live -= p != NULL;
  free(p);
}

/* The model from JSON, the same from a builder, and a shard of it, in a context that allocates through the budget. */
static plr_status build_all(plr_context *ctx) {
  plr_model *model = NULL, *built = NULL;
  plr_builder *b = NULL;
  plr_shard *shard = NULL;
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.recompute = 1;
  plr_op_desc embed = desc_of(PLR_LAYER_EMBEDDING, NULL, "x"), w = linear_of("x", "x", "w", 12);
  plr_op_desc head = linear_of("x", "logits", "head", 11);
  embed.name = "embed";
  plr_status st = plr_model_from_json(ctx, good, strlen(good), &model, NULL);
  assert_true((st == PLR_OK) == (model != NULL));
  if (st == PLR_OK) st = plr_shard_create(ctx, model, &o, &shard, NULL);
  if (st == PLR_OK) st = plr_builder_create(ctx, rest, strlen(rest), &b, NULL);
  if (st == PLR_OK) st = plr_builder_begin(b, PLR_PART_EMBED, 1, NULL);
  if (st == PLR_OK) st = plr_builder_op(b, &embed, NULL);
  if (st == PLR_OK) st = plr_builder_begin(b, PLR_PART_BLOCK, 2, NULL);
  if (st == PLR_OK) st = plr_builder_op(b, &w, NULL);
  if (st == PLR_OK) st = plr_builder_begin(b, PLR_PART_HEAD, 1, NULL);
  if (st == PLR_OK) st = plr_builder_op(b, &head, NULL);
  if (st == PLR_OK) st = plr_builder_build(b, &built, NULL);
  assert_true((st == PLR_OK) == (built != NULL));
  plr_builder_destroy(b);
  plr_shard_destroy(shard);
  plr_model_destroy(built);
  plr_model_destroy(model);
  return st;
}

static void test_no_memory(void **state) {
  (void)state;
  plr_status st = PLR_ERR_NO_MEMORY;
  int tries = 0;
  for (; st == PLR_ERR_NO_MEMORY && tries < 2000; tries++) {
    budget b = {1000000, 0};
    plr_context_options o;
    plr_context_options_init(&o, sizeof o);
    o.allocator.user = &b, o.allocator.alloc = take, o.allocator.free = give;
    plr_context *ctx = NULL;
    assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
    b.left = tries;
    st = build_all(ctx);
    assert_true(st == PLR_OK || st == PLR_ERR_NO_MEMORY);
    plr_context_destroy(ctx);
    assert_int_equal(b.live, 0);
  }
  assert_int_equal(st, PLR_OK);
  assert_true(tries > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refuses_by_name),
      cmocka_unit_test(test_refuses_what_does_not_fit),
      cmocka_unit_test(test_refuses_free_blocks),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_hash_is_of_the_meaning),
      cmocka_unit_test(test_hash_is_the_documented_one),
      cmocka_unit_test(test_builder_gives_the_same_model),
      cmocka_unit_test(test_builder_refuses),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
