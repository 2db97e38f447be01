#include "finish.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"

static const char *isa_name(uint32_t isa) {
  switch (isa) {
  case PLR_ISA_PORTABLE:
    return "portable";
  case PLR_ISA_AVX2:
    return "AVX2";
  case PLR_ISA_AVX512:
    return "AVX-512";
  case PLR_ISA_NEON:
    return "NEON";
  default:
    return "other";
  }
}

void finish_settings(struct report *r, const struct options *o, const struct plan *plan,
                     const plr_context *ctx) {
  const plr_model_info *m = &plan->info;
  char rate[FORMAT_CAP], delay[FORMAT_CAP];
  uint32_t version = plr_version();
  report_setting(r, "library", "libpluralis %u.%u.%u, numeric profile exact", version >> 16,
                 version >> 8 & 255, version & 255);
  report_setting(r, "model",
                 "%u blocks, width %u, %u heads, %u key-value heads, feed-forward %u, %u symbols",
                 m->blocks, m->d_model, m->heads, m->kv_heads, m->d_ff, m->vocab);
  report_setting(r, "batch", "%u micro-batches of %u sequences of %u bytes: %u tokens a step",
                 m->micro_batches, m->micro_batch, m->seq_len,
                 m->micro_batches * m->micro_batch * m->seq_len);
  report_setting(
      r, "optimizer",
      "AdamW, peak rate %g, %u warm-up steps, %u steps, cosine to %g of the peak, seed %llu",
      (double)m->lr, m->warmup_steps, m->steps, (double)m->min_lr_ratio,
      (unsigned long long)m->seed);
  report_setting(r, "stages", "%llu processes with %llu thread%s each, %s instructions",
                 (unsigned long long)o->stages, (unsigned long long)o->threads,
                 o->threads == 1 ? "" : "s", isa_name(plr_context_isa(ctx)));
  report_setting(r, "links", "%s %s; %s and %s in each direction, shaped in user space",
                 options_datagram(o) ? "UDP" : "TCP",
                 o->netns ? "between network namespaces" : "on the loopback device",
                 format_rate(rate, o->rate),
                 o->delay ? format_duration(delay, (double)o->delay * 1e-9) : "no delay");
  report_setting(r, "mint", "designer %u%%, data %u%%, the rest to the stages by verified work",
                 BOOKS_DESIGNER_BPS / 100, BOOKS_DATA_BPS / 100);
}

static void print_owners(const struct report *r, const struct report_model *m) {
  char shares[FORMAT_CAP], work[FORMAT_CAP], receipts[FORMAT_CAP], paid[FORMAT_CAP];
  printf("\n%s: who owns the model                receipts   verified flop         shares     owns "
         "  paid %s\n",
         m->run->name, r->ledger.currency);
  for (size_t i = 0; i < m->owner_count; i++) {
    const struct report_owner *o = &m->owners[i];
    printf("  %-10s %-24s %10s %15s %14s %7.2f%% %10s\n", o->name, o->role,
           format_count(receipts, o->receipts), o->units > 0 ? format_short(work, o->units) : "-",
           format_count(shares, o->shares),
           m->supply ? 100.0 * (double)o->shares / (double)m->supply : 0.0,
           format_money(paid, o->paid, r->ledger.decimals));
  }
}

static void print_run(const struct report *r, const struct run_record *run) {
  char sent[FORMAT_CAP], raw[FORMAT_CAP];
  struct run_traffic t = run_record_between_stages(run);
  double loss = run_record_valid_loss(run);
  printf("  %-6s validation loss %.4f (bigram entropy %.4f: %s)  sent %s", run->name, loss,
         r->bigram, loss < r->bigram ? "below" : "NOT below", format_bytes(sent, (double)t.sent));
  if (t.sent)
    printf(", dense bf16 %s: %.1fx", format_bytes(raw, (double)t.raw), run_record_ratio(run));
  printf("\n");
}

static void print_sample(const struct run_record *run) {
  if (!run->sample) return;
  printf("\n%s writes:\n  %s", run->name, run->prompt);
  for (const char *s = run->sample; *s; s++) {
    /* What a young model writes may hold anything: terminals get printable bytes only. */
    unsigned char c = (unsigned char)*s;
    fputs(c == '\n' ? "\n  " : "", stdout);
    if (c != '\n') putchar(c >= 0x20 && c < 0x7f ? c : '.');
  }
  printf("\n");
}

void finish_print(const struct report *r) {
  char entries[FORMAT_CAP];
  printf("\nloss in nats a byte, on text that was not trained on\n");
  for (size_t m = 0; m < r->model_count; m++) print_run(r, r->models[m].run);
  for (size_t m = 0; m < r->model_count; m++) print_owners(r, &r->models[m]);
  for (size_t m = 0; m < r->model_count; m++) print_sample(r->models[m].run);
  if (r->ledger.verified) {
    printf("\nledger verified: %s entries replayed from nothing, root %.16s...\n",
           format_count(entries, r->ledger.entries), r->ledger.root);
  } else {
    printf("\nledger NOT verified: %s\n", r->ledger.message);
  }
}
