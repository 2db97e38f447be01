/* Bits follow bandwidth: a pipeline whose wires get slow and fast again keeps its pace with fewer bits, and the
 * journal says what each frame was allowed. */
#include "sim/pipeline.h"

#include "stage/stage_int.h"

typedef struct sums {
  uint64_t frames, bytes, budgets, allowed, over; /* activations of stage 0 */
  uint64_t due; /* the budget of the frame that is to come; 0: none */
} sums;

static void read_book(plr_stage *stage, sums *s) {
  static uint8_t bytes[64 * 64];
  size_t len;
  memset(s, 0, sizeof *s);
  while (plr_stage_read_journal(stage, bytes, sizeof bytes, &len) == PLR_OK)
    for (const uint8_t *p = bytes; p < bytes + len; p += 64) {
      const uint64_t n = plr__load_le64(p + 24);
      if (p[1] != PLR__DOWN || p[2] != PLR_ROLE_ACTIVATION) continue;
      if (p[0] == PLR__JOURNAL_BUDGET) s->budgets++, s->allowed += n, s->due = n;
      if (p[0] != PLR__JOURNAL_SENT) continue;
      s->frames++, s->bytes += n;
      if (s->due && n > s->due) s->over++;
      s->due = 0;
    }
}

static void set_rates(pipeline *p, uint64_t rate) {
  for (uint32_t i = 0; i <= p->config.stages; i++) sim_set_rate(p->net, i, rate);
}

/* Trains on to `until`; bytes of an activation frame of the last 5 steps, and the time of one of these. */
static double phase(pipeline *p, uint32_t until, double *step_s) {
  sums s;
  plr_stage_stats stats = {.struct_size = sizeof stats};
  pipe_train(p, until - 5);
  read_book(p->stage[0], &s);
  const uint64_t begin = sim_now(p->net);
  pipe_train(p, until);
  *step_s = (double)(sim_now(p->net) - begin) / 5e9;
  read_book(p->stage[0], &s);
  assert_int_equal(s.frames, 5 * p->info.micro_batches);
  assert_int_equal(s.budgets, s.frames);
  assert_int_equal(s.over, 0);
  assert_int_equal(plr_stage_get_stats(p->stage[0], &stats), PLR_OK);
  assert_true(stats.forward_budget > 0 &&
              stats.backward_budget == 0); /* stage 0 sends no gradients */
  print_message("  %.0f bytes a frame of %.0f allowed, %.4f s a step\n",
                (double)s.bytes / (double)s.frames, (double)s.allowed / (double)s.frames, *step_s);
  return (double)s.bytes / (double)s.frames;
}

/* Frames of 32768 values, beside which receipts are small. */
static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"wide\", \"family\": \"llama\", \"vocab\": "
    "\"bytes\", \"blocks\": 2, \"d_model\": 64, \"heads\": 1, \"kv_heads\": 1, \"head_dim\": 64, "
    "\"d_ff\": 64, \"norm_eps\": 1e-5, \"rope_theta\": 10000, \"init_std\": 0.02, \"embed_std\": "
    "1.0, \"seed\": 7, \"cuts\": [1], \"boundary\": {\"kind\": \"dense\"}, \"train\": "
    "{\"seq_len\": 128, \"micro_batch\": 4, \"micro_batches\": 4, \"optimizer\": \"adamw\", "
    "\"lr\": 3e-3, "
    "\"min_lr_ratio\": 0.1, \"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, "
    "\"clip\": 1.0, "
    "\"schedule\": \"cosine\", \"warmup_steps\": 3, \"steps\": 100, \"data_seed\": 3}}";

static void test_bits_follow_bandwidth(void **state) {
  (void)state;
  static pipeline p;
  double fast_s, slow_s, again_s;
  pipe_config c = pipe_defaults(2);
  c.manifest = manifest;
  c.codec = "uniform4";
  c.auto_budget = 1;
  c.wire.delay_ns = 1000000;
  c.job_ns = 10000000;
  c.wire.max_chunk = 1500;
  /* While a stage computes a micro-batch, about 20 ms, the wire carries six bits a value. */
  pipe_open(&p, &c);
  const double values = (double)p.info.micro_batch * p.info.seq_len * p.info.boundary_width;
  const uint64_t rate = (uint64_t)(values * 6 / 8 / 0.020 / 0.9);
  set_rates(&p, rate);
  const double fast = phase(&p, 18, &fast_s);
  set_rates(&p, rate / 3);
  const double slow = phase(&p, 36, &slow_s);
  set_rates(&p, rate);
  const double again = phase(&p, 48, &again_s);
  assert_true(slow < 0.6 * fast);
  assert_true(again > 0.8 * fast);
  assert_true(slow_s < 1.6 * fast_s); /* a third of the rate, and most of the pace */
  pipe_close(&p);
}

static void test_needs_a_rate(void **state) {
  (void)state;
  static pipeline p;
  plr_stage_options o;
  plr_stage *stage;
  plr_error err = {.struct_size = sizeof err};
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  plr_stage_options_init(&o, sizeof o);
  o.count = 2, o.origin = PIPE_ORIGIN, o.identity = p.identity[0], o.model = p.model;
  o.shard = p.shard[0];
  o.auto_budget = 1;
  assert_int_equal(plr_stage_create(p.ctx, &o, &stage, &err), PLR_ERR_UNSUPPORTED);
  assert_string_equal(err.where, "stage.auto_budget");
  o.auto_budget = 2;
  assert_int_equal(plr_stage_create(p.ctx, &o, &stage, &err), PLR_ERR_INVALID_ARGUMENT);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bits_follow_bandwidth),
      cmocka_unit_test(test_needs_a_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
