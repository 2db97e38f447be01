/* Draws a report from made-up figures, to look at its design without training anything:
 * report_demo FILE [one] */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

#define STAGES 4u

static double wobble(uint64_t i) {
  return sin((double)i * 12.9898) * 0.5 + sin((double)i * 78.233) * 0.5;
}

static void make_points(struct run_record *run, double floor, double bytes_per_step) {
  for (uint64_t step = 1; step <= run->steps_total; step++) {
    double loss = floor + (5.5 - floor) * exp(-(double)step / 9) + 1.1 * exp(-(double)step / 55);
    struct run_point p = {step, loss + 0.06 * wobble(step), NAN, 0, 0, (double)step * 0.82};
    if (step % 20 == 0) p.valid_loss = loss + 0.02;
    p.sent = (uint64_t)((double)step * bytes_per_step);
    p.raw = step * 3 * 2 * 2048 * 512;
    run_record_point(run, &p);
    struct run_rate rate = {step, step < 60 ? 200e6 : 20e6, step < 64 ? 190e6 : 19e6};
    if (!run->dense) run_record_rate(run, &rate);
  }
}

static void make_spans(struct run_record *run, double link_ms) {
  for (uint32_t step = 0; step < 2; step++) {
    double base = step * (560 + 6 * link_ms);
    for (uint32_t s = 0; s < STAGES; s++) {
      for (uint32_t mb = 0; mb < 4; mb++) {
        double f = base + s * (30 + link_ms) + mb * 30;
        double b = base + 300 + 3 * link_ms + (STAGES - 1 - s) * (45 + link_ms) + mb * 50;
        struct run_span forward = {s,    RUN_FORWARD,         mb,
                                   step, (uint64_t)(f * 1e6), (uint64_t)((f + 28) * 1e6)};
        struct run_span backward = {s,    RUN_BACKWARD,        mb,
                                    step, (uint64_t)(b * 1e6), (uint64_t)((b + 44) * 1e6)};
        run_record_span(run, &forward);
        run_record_span(run, &backward);
        if (mb == 3) {
          struct run_span end = {
              s, RUN_STEP, 0, step, (uint64_t)((b + 48) * 1e6), (uint64_t)((b + 57) * 1e6)};
          run_record_span(run, &end);
        }
      }
    }
  }
}

static void make_run(struct run_record *run, uint32_t dense) {
  memset(run, 0, sizeof *run);
  snprintf(run->name, sizeof run->name, "%s", dense ? "dense" : "ours");
  snprintf(run->boundary, sizeof run->boundary, "%s",
           dense ? "dense boundary, bf16, not compressed" : "subspace of rank 6, int4 and zstd");
  run->stages = STAGES;
  run->dense = dense;
  run->steps_total = 120;
  run->tokens_per_step = 2048;
  run->parameters = dense ? 6032640 : 5120512;
  run->ratio_planned = dense ? 0 : 100;
  make_points(run, dense ? 1.91 : 2.02, dense ? 6.35e6 : 62e3);
  for (uint32_t i = 0; i <= STAGES; i++) {
    int inner = i > 0 && i < STAGES;
    run->traffic[i].raw = inner ? 120ull * 2 * 2048 * 512 : 0;
    run->traffic[i].sent =
        inner ? (dense ? 254000000u + i * 800000u : 2480000u + i * 21000u) : 640000u;
  }
  make_spans(run, dense ? 52 : 26);
  run_record_sample(
      run, "And the LORD ",
      "said unto the children of Israel, and the king of the land,\nand they shall be the "
      "servants of the house of the LORD: <and> all the people that\nwere with him in the "
      "wilderness, and he shall bring the offering of the sea.");
}

static void make_model(struct report_model *m, const struct run_record *run) {
  static const char *const names[] = {"stage 0", "stage 1",  "stage 2",
                                      "stage 3", "designer", "feeder"};
  static const char *const roles[] = {
      "embedding, blocks 0 to 1", "blocks 2 to 3",      "blocks 4 to 5",
      "blocks 6 to 7, output",    "designed the model", "provided the text"};
  static const uint64_t shares[] = {1910234, 1885001, 1885001, 2204510, 927638, 463819};
  m->run = run;
  memset(m->hash, run->dense ? 'b' : 'a', 64);
  m->owner_count = 6;
  m->deposited = 100000;
  for (size_t i = 0; i < 6; i++) m->supply += shares[i];
  for (size_t i = 0; i < 6; i++) {
    struct report_owner *o = &m->owners[i];
    snprintf(o->name, sizeof o->name, "%s", names[i]);
    snprintf(o->role, sizeof o->role, "%s", roles[i]);
    memset(o->account, (int)('0' + i), 64);
    o->shares = shares[i];
    o->receipts = i < 4 ? 480 : 0;
    o->units = i < 4 ? (double)shares[i] * 1.2e6 : 0;
    o->paid = 100000 * shares[i] / m->supply;
  }
}

static void make_ledger(struct report_ledger *l) {
  l->verified = 1;
  snprintf(l->origin, sizeof l->origin, "pluralis-train/3f9a2c71d05be884");
  snprintf(l->vkey, sizeof l->vkey,
           "pluralis-train/3f9a2c71d05be884+5bd1e995+AZ3b1qCzXo0m4kq8yV0t7hBqz2r6u9w1x3y5A7C9E0G=");
  l->entries = 3862;
  l->epochs = 4;
  l->accounts = 8;
  l->receipts = 3840;
  l->units = 1.8e13;
  l->deposited = 200000;
  l->paid = 199995;
  memset(l->root, 'c', 64);
  memset(l->state_root, 'd', 64);
  snprintf(l->checkpoint, sizeof l->checkpoint,
           "pluralis-train/"
           "3f9a2c71d05be884\n3862\nq1u0mYV0l2v0cTj2VvJmXWq1n8m2Hk1yZ6S1k0mWJ9Y=\n\n\xe2\x80\x94 "
           "pluralis-train/3f9a2c71d05be884 "
           "W9HplQ0m4kq8yV0t7hBqz2r6u9w1x3y5A7C9E0GQ0m4kq8yV0t7hBqz2r6u9w1x\n");
  snprintf(l->currency, sizeof l->currency, "XTS");
  l->decimals = 2;
}

int main(int argc, char **argv) {
  static struct report r;
  struct run_record ours, dense;
  char message[256];
  if (argc < 2) {
    fputs("usage: report_demo FILE [one]\n", stderr);
    return 2;
  }
  make_run(&ours, 0);
  make_run(&dense, 1);
  snprintf(r.text_name, sizeof r.text_name, "kjv.txt");
  r.text_len = 4404412;
  r.bigram = 2.318;
  r.model_count = argc > 2 ? 1 : 2;
  make_model(&r.models[0], &ours);
  make_model(&r.models[1], &dense);
  make_ledger(&r.ledger);
  report_setting(&r, "model",
                 "llama, 8 blocks, width 256, 4 heads, 2 key-value heads, feed-forward 704");
  report_setting(&r, "batch", "4 micro-batches of 4 sequences of 128 bytes");
  report_setting(&r, "links", "80 Mbit/s, 25 ms, each direction of each link");
  int result = report_write(&r, argv[1], message, sizeof message);
  if (result != 0) fprintf(stderr, "%s\n", message);
  run_record_free(&ours);
  run_record_free(&dense);
  return result ? 1 : 0;
}
