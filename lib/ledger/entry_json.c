/* An entry as JSON, for people and programs. */
#include "base/json.h"
#include "ledger/ledger_int.h"

#include <string.h>

static void text_field(plr_buffer *b, const char *name, const char *text) {
  plr__buffer_printf(b, ", \"%s\": ", name);
  plr__json_put_string(b, text);
}

static void genesis(plr_buffer *b, const plr_genesis *g) {
  text_field(b, "origin", g->origin);
  plr__json_hex(b, "sequencer_key", g->sequencer_key, 32);
  text_field(b, "currency", g->currency);
  plr__buffer_printf(b, ", \"decimals\": %u, \"receipt_window\": %u", g->decimals,
                     g->receipt_window);
  plr__json_hex(b, "treasurer", g->treasurer, 32);
}

static void parents(plr_buffer *b, const plr_model_register *m) {
  plr__buffer_printf(b, ", \"parents\": [");
  for (uint32_t i = 0; i < m->parent_count; i++) {
    plr__buffer_printf(b, "%s{\"bps\": %u", i ? ", " : "", m->parents[i].bps);
    plr__json_hex(b, "model", m->parents[i].model.bytes, 32);
    plr__buffer_printf(b, "}");
  }
  plr__buffer_printf(b, "]");
}

static void model_register(plr_buffer *b, const plr_model_register *m) {
  plr__json_hex(b, "model", m->model.bytes, 32);
  plr__json_hex(b, "profile", m->profile.bytes, 32);
  plr__buffer_printf(b, ", \"designer_bps\": %u, \"data_bps\": %u", m->designer_bps, m->data_bps);
  plr__json_hex(b, "data_account", m->data_account, 32);
  plr__json_u128(b, "halving", m->halving);
  plr__json_u128(b, "rate", m->rate);
  plr__json_u128(b, "rate_divisor", m->rate_divisor);
  plr__buffer_printf(b, ", \"vest_epochs\": %u, \"vest_cliff\": %u, \"microbatch_tokens\": %u",
                     m->vest_epochs, m->vest_cliff, m->microbatch_tokens);
  plr__buffer_printf(b, ", \"serving_bps\": %u, \"milestone_epochs\": %u", m->serving_bps,
                     m->milestone_epochs);
  parents(b, m);
  plr__buffer_printf(b, ", \"costs\": [");
  for (uint32_t i = 0; i < m->block_count; i++)
    plr__buffer_printf(b, "%s\"%llu\"", i ? ", " : "",
                       (unsigned long long)plr__load_be64(m->costs + 8 * (size_t)i));
  plr__buffer_printf(b, "]");
}

static void signers(plr_buffer *b, const plr_entry *e) {
  plr__buffer_printf(b, ", \"signatures\": [");
  for (uint32_t i = 0; i < e->signature_count; i++) {
    plr__buffer_printf(b, "%s{\"role\": %u", i ? ", " : "", e->signatures[i].role);
    plr__json_hex(b, "account", e->signatures[i].account, 32);
    plr__buffer_printf(b, "}");
  }
  plr__buffer_printf(b, "]}");
}

plr_status plr_entry_json(plr_context *ctx, const void *entry, size_t entry_len, char *buf,
                          size_t cap, size_t *len, plr_error *err) {
  plr_entry e;
  plr_buffer b;
  if (!ctx || (!entry && entry_len) || (!buf && cap) || !len)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "an argument is NULL");
  PLR_TRY(plr__entry_decode_partial(entry, entry_len, &e, err));
  plr__buffer_init(&b, ctx);
  plr__buffer_printf(&b, "{\"type\": \"%s\"", plr__entry_types[e.type].name);
  plr__json_hex(&b, "author", e.author, 32);
  plr__json_u128(&b, "nonce", e.nonce);
  plr__json_u128(&b, "valid_to_epoch", e.valid_to_epoch);
  if (e.type == PLR_ENTRY_GENESIS)
    genesis(&b, &e.as.genesis);
  else if (e.type == PLR_ENTRY_MODEL_REGISTER)
    model_register(&b, &e.as.model);
  else
    plr__fields_json(&b, &plr__entry_types[e.type].body, &e.as);
  signers(&b, &e);
  plr_status st = plr__copy_out(&b, buf, cap, len, err);
  plr__buffer_release(&b);
  return st;
}
