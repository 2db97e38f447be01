/* Structs that the library reads, for test_base_records.c: how to make one that is good, and who reads it. */
#ifndef PLR_TESTS_RECORDS_GIVEN_H
#define PLR_TESTS_RECORDS_GIVEN_H

#include "shard_common.h"

#include "remote/remote_int.h"
#include "stage/stage_int.h"

typedef struct kit {
  plr_context *ctx;
  plr_model *model;
  plr_identity *identity;
  plr_corpus *corpus;
  plr_ledger *ledger;
  plr_encoder *encoder;
  plr_link *link;
  plr_stage *stage;
  plr_shard *shard;
  uint8_t frame[512], entry[4096];
  size_t frame_len;
  plr_hash model_hash;
} kit;

static const char text[400];
static const uint8_t seed[32] = {7};
static const uint8_t no_key[32];
static float values[4 * 8];
static const uint64_t costs[2] = {5, 6};

/* Sets a field, when the struct is long enough to have it. */
#define HAS(type, field, size)                                                                     \
  (offsetof(type, field) + sizeof(((type *)0)->field) <= (size_t)(size))
#define SET(type, p, size, field, value)                                                           \
  do {                                                                                             \
    if (HAS(type, field, size)) ((type *)(p))->field = (value);                                    \
  } while (0)

/* ---- structs that are read: fill what is required, then use ------------------------------------ */

static void fill_nothing(kit *k, void *p, uint32_t size) {
  (void)k, (void)p, (void)size;
}

static plr_status use_context(kit *k, const void *options, plr_error *err) {
  (void)k;
  plr_context *ctx;
  plr_status st = plr_context_create(options, &ctx, err);
  plr_context_destroy(ctx);
  return st;
}

static plr_status use_shard(kit *k, const void *options, plr_error *err) {
  plr_shard *shard;
  plr_status st = plr_shard_create(k->ctx, k->model, options, &shard, err);
  plr_shard_destroy(shard);
  return st;
}

static plr_status use_link(kit *k, const void *options, plr_error *err) {
  plr_link *link;
  plr_status st = plr_link_create(k->ctx, k->identity, options, &link, err);
  plr_link_destroy(link);
  return st;
}

static void fill_stage(kit *k, void *p, uint32_t size) {
  SET(plr_stage_options, p, size, role, PLR_STAGE_FEEDER);
  SET(plr_stage_options, p, size, count, 1);
  SET(plr_stage_options, p, size, origin, "example.org/records");
  SET(plr_stage_options, p, size, identity, k->identity);
  SET(plr_stage_options, p, size, model, k->model);
  SET(plr_stage_options, p, size, corpus, k->corpus);
}

static plr_status use_stage(kit *k, const void *options, plr_error *err) {
  plr_stage *stage;
  plr_status st = plr_stage_create(k->ctx, options, &stage, err);
  plr_stage_destroy(stage);
  return st;
}

static void fill_ledger(kit *k, void *p, uint32_t size) {
  SET(plr_ledger_options, p, size, origin, "example.org/records");
  SET(plr_ledger_options, p, size, sequencer, k->identity);
}

static plr_status use_ledger(kit *k, const void *options, plr_error *err) {
  plr_ledger *ledger;
  plr_status st = plr_ledger_open(k->ctx, options, &ledger, err);
  plr_ledger_destroy(ledger);
  return st;
}

static void fill_entry(kit *k, void *p, uint32_t size) {
  SET(plr_entry_options, p, size, author, k->identity);
  SET(plr_entry_options, p, size, origin, "example.org/records");
}

static plr_status use_entry(kit *k, const void *options, plr_error *err) {
  size_t len;
  return plr_entry_account_open(k->ctx, options, k->entry, sizeof k->entry, &len, err);
}

static void fill_terms(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_model_terms, p, size, microbatch_tokens, 8);
  SET(plr_model_terms, p, size, block_count, 2);
  SET(plr_model_terms, p, size, halving_units, ((plr_units){1000, 0}));
  SET(plr_model_terms, p, size, rate, 1);
  SET(plr_model_terms, p, size, rate_divisor, 1);
  SET(plr_model_terms, p, size, costs, costs);
}

static plr_status use_terms(kit *k, const void *terms, plr_error *err) {
  plr_entry_options o;
  size_t len;
  plr_entry_options_init(&o, sizeof o);
  fill_entry(k, &o, sizeof o);
  return plr_entry_model_register(k->ctx, &o, terms, k->entry, sizeof k->entry, &len, err);
}

/* Bodies of entries: zeros are good, but for a few fields. */
static void init_body(void *p, uint32_t size) {
  memset(p, 0, size);
  memcpy(p, &size, sizeof size);
}

static void fill_data(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_data_register, p, size, bps, 1);
}

static void fill_audit(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_audit_result, p, size, verdict, 1);
}

static void fill_milestone(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_milestone, p, size, number, 1);
}

static void fill_inference(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_inference_receipt, p, size, block_end, 1);
  SET(plr_inference_receipt, p, size, tokens, 1);
  SET(plr_inference_receipt, p, size, units, 1);
}

static void fill_transfer(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_transfer, p, size, shares, 1);
}

static void fill_param(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_param_change, p, size, parameter, 1);
  SET(plr_param_change, p, size, value, 1);
}

static plr_status write_body(kit *k, uint32_t type, const void *body, plr_error *err) {
  plr_entry_options o;
  size_t len;
  plr_entry_options_init(&o, sizeof o);
  fill_entry(k, &o, sizeof o);
  return plr_entry_write(k->ctx, &o, type, body, k->entry, sizeof k->entry, &len, err);
}

#define BODY(name, type)                                                                           \
  static plr_status use_##name(kit *k, const void *body, plr_error *err) {                         \
    return write_body(k, type, body, err);                                                         \
  }
BODY(key_rotate, PLR_ENTRY_KEY_ROTATE)
BODY(data_register, PLR_ENTRY_DATA_REGISTER)
BODY(assign, PLR_ENTRY_ASSIGN)
BODY(commit, PLR_ENTRY_COMMIT)
BODY(audit_result, PLR_ENTRY_AUDIT_RESULT)
BODY(dispute, PLR_ENTRY_DISPUTE)
BODY(evidence, PLR_ENTRY_EVIDENCE)
BODY(milestone, PLR_ENTRY_MILESTONE)
BODY(inference_receipt, PLR_ENTRY_INFERENCE_RECEIPT)
BODY(transfer, PLR_ENTRY_TRANSFER)
BODY(slash, PLR_ENTRY_SLASH)
BODY(settlement_root, PLR_ENTRY_SETTLEMENT_ROOT)
BODY(param_change, PLR_ENTRY_PARAM_CHANGE)

static void fill_verify(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_verify_options, p, size, origin, "example.org/records");
  SET(plr_verify_options, p, size, public_key, no_key);
}

static plr_status nothing_there(void *user, uint64_t offset, void *buf, size_t len) {
  (void)user, (void)offset, (void)buf, (void)len;
  return PLR_ERR_IO;
}

/* The options are looked at before the source: good ones get as far as its failure. */
static plr_status use_verify(kit *k, const void *options, plr_error *err) {
  plr_source source = {.size = 5000, .read_at = nothing_there};
  plr_status st = plr_ledger_verify(k->ctx, &source, options, NULL, err);
  return st == PLR_ERR_IO ? PLR_OK : st;
}

static void init_info(void *p, uint32_t size) {
  memset(p, 0, size);
  memcpy(p, &size, sizeof size);
}

static void fill_info(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_frame_info, p, size, role, PLR_ROLE_ACTIVATION);
}

static plr_status use_info(kit *k, const void *info, plr_error *err) {
  plr_tensor x;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, 4, 8);
  uint8_t frame[512];
  size_t len;
  plr_status st = plr_encoder_encode(k->encoder, info, &x, frame, sizeof frame, &len);
  /* A hot function: it says what, and nothing more. */
  if (st == PLR_ERR_UNSUPPORTED) snprintf(err->where, sizeof err->where, "frame info");
  return st;
}

static plr_status use_config(kit *k, const void *options, plr_error *err) {
  static const char json[] =
      "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":16,\"num_hidden_layers\":"
      "1,"
      "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"vocab_size\":16,\"rms_norm_eps\":1e-5,"
      "\"max_position_embeddings\":16,\"rope_theta\":10000.0,\"hidden_act\":\"silu\"}";
  plr_model *model;
  plr_status st = plr_model_from_config(k->ctx, json, sizeof json - 1, options, &model, err);
  plr_model_destroy(model);
  return st;
}

static plr_status use_session(kit *k, const void *options, plr_error *err) {
  plr_session *session;
  plr_status st = plr_session_create(k->shard, options, &session, err);
  plr_session_destroy(session);
  return st;
}

static plr_status use_sample(kit *k, const void *options, plr_error *err) {
  int32_t token;
  plr_status st = plr_sample_logits(k->ctx, values, 8, options, &token);
  /* A hot function: it says what, and nothing more. */
  if (st == PLR_ERR_UNSUPPORTED) snprintf(err->where, sizeof err->where, "sample options");
  return st;
}

static void fill_op(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_op_desc, p, size, op, PLR_LAYER_EMBEDDING);
  SET(plr_op_desc, p, size, out, "x");
  SET(plr_op_desc, p, size, name, "embed");
  SET(plr_op_desc, p, size, std, 1.0);
}

static plr_status use_op(kit *k, const void *desc, plr_error *err) {
  static const char json[] =
      "{\"format\":\"pluralis-model/"
      "2\",\"name\":\"r\",\"vocab\":\"bytes\",\"d_model\":8,\"seed\":1,"
      "\"cuts\":[],\"boundary\":{\"kind\":\"dense\"},\"train\":{\"seq_len\":8,\"micro_batch\":1,"
      "\"micro_batches\":1,\"optimizer\":\"adamw\",\"lr\":0.001,\"min_lr_ratio\":0.1,\"beta1\":0.9,"
      "\"beta2\":0.95,\"eps\":1e-8,\"weight_decay\":0.1,\"clip\":1.0,\"schedule\":\"cosine\","
      "\"warmup_steps\":1,\"steps\":2,\"data_seed\":3,\"z_loss\":0}}";
  plr_builder *builder;
  plr_status st = plr_builder_create(k->ctx, json, sizeof json - 1, &builder, err);
  if (st == PLR_OK) st = plr_builder_begin(builder, PLR_PART_EMBED, 1, err);
  if (st == PLR_OK) st = plr_builder_op(builder, desc, err);
  plr_builder_destroy(builder);
  return st;
}

static void fill_policy(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_proof_policy, p, size, origin, "example.org/records");
  SET(plr_proof_policy, p, size, public_key, no_key);
}

/* The policy is looked at before the proof: with a good one the proof is not one. */
static plr_status use_policy(kit *k, const void *policy, plr_error *err) {
  plr_status st = plr_log_verify_proof(k->ctx, "", 0, "", 0, policy, NULL, NULL, err);
  return st == PLR_ERR_MALFORMED ? PLR_OK : st;
}

static plr_status use_remote(kit *k, const void *options, plr_error *err) {
  plr_remote_options o;
  (void)k;
  return plr__remote_options_read(options, &o, err);
}

static void fill_mirror(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_mirror_options, p, size, url, "http://example.org/records");
  SET(plr_mirror_options, p, size, origin, "example.org/records");
  SET(plr_mirror_options, p, size, public_key, no_key);
}

static plr_status use_mirror(kit *k, const void *options, plr_error *err) {
  plr_mirror_options o;
  (void)k;
  return plr__mirror_options_read(options, &o, err);
}

static const plr_plan_device plan_devices[2] = {{.flops = 1e9, .memory = 1u << 30},
                                                {.flops = 2e9, .memory = 1u << 30}};

static void fill_plan(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_plan_options, p, size, device_count, 2);
  SET(plr_plan_options, p, size, devices, plan_devices);
}

static plr_status use_plan(kit *k, const void *options, plr_error *err) {
  plr_plan *plan;
  plr_status st = plr_plan_create(k->ctx, k->model, options, &plan, err);
  plr_plan_destroy(plan);
  return st;
}

#define INIT(name)                                                                                 \
  static void init_##name(void *p, uint32_t size) {                                                \
    plr_##name##_init(p, size);                                                                    \
  }
INIT(context_options)
INIT(shard_options)
INIT(link_options)
INIT(stage_options)
INIT(ledger_options)
INIT(entry_options)
INIT(model_terms)
INIT(verify_options)
INIT(config_options)
INIT(session_options)
INIT(sample_options)
INIT(proof_policy)
INIT(remote_options)
INIT(mirror_options)
INIT(op_desc)
INIT(plan_options)

static const struct given {
  const char *name;
  uint32_t first, now;
  void (*init)(void *p, uint32_t size);
  void (*fill)(kit *k, void *p, uint32_t size);
  plr_status (*use)(kit *k, const void *p, plr_error *err);
} givens[] = {
    {"plr_context_options", 104, sizeof(plr_context_options), init_context_options, fill_nothing,
     use_context},
    {"plr_shard_options", 32, sizeof(plr_shard_options), init_shard_options, fill_nothing,
     use_shard},
    {"plr_link_options", 160, sizeof(plr_link_options), init_link_options, fill_nothing, use_link},
    {"plr_stage_options", 96, sizeof(plr_stage_options), init_stage_options, fill_stage, use_stage},
    {"plr_ledger_options", 80, sizeof(plr_ledger_options), init_ledger_options, fill_ledger,
     use_ledger},
    {"plr_entry_options", 40, sizeof(plr_entry_options), init_entry_options, fill_entry, use_entry},
    {"plr_model_terms", 168, sizeof(plr_model_terms), init_model_terms, fill_terms, use_terms},
    {"plr_verify_options", 40, sizeof(plr_verify_options), init_verify_options, fill_verify,
     use_verify},
    {"plr_frame_info", 64, sizeof(plr_frame_info), init_info, fill_info, use_info},
    {"plr_config_options", 48, sizeof(plr_config_options), init_config_options, fill_nothing,
     use_config},
    {"plr_session_options", 8, sizeof(plr_session_options), init_session_options, fill_nothing,
     use_session},
    {"plr_sample_options", 32, sizeof(plr_sample_options), init_sample_options, fill_nothing,
     use_sample},
    {"plr_proof_policy", 40, sizeof(plr_proof_policy), init_proof_policy, fill_policy, use_policy},
    {"plr_remote_options", 64, sizeof(plr_remote_options), init_remote_options, fill_nothing,
     use_remote},
    {"plr_mirror_options", 80, sizeof(plr_mirror_options), init_mirror_options, fill_mirror,
     use_mirror},
    {"plr_key_rotate", 104, sizeof(plr_key_rotate), init_body, fill_nothing, use_key_rotate},
    {"plr_data_register", 112, sizeof(plr_data_register), init_body, fill_data, use_data_register},
    {"plr_assign", 16, sizeof(plr_assign), init_body, fill_nothing, use_assign},
    {"plr_commit", 48, sizeof(plr_commit), init_body, fill_nothing, use_commit},
    {"plr_audit_result", 104, sizeof(plr_audit_result), init_body, fill_audit, use_audit_result},
    {"plr_dispute", 296, sizeof(plr_dispute), init_body, fill_nothing, use_dispute},
    {"plr_evidence", 40, sizeof(plr_evidence), init_body, fill_nothing, use_evidence},
    {"plr_milestone", 144, sizeof(plr_milestone), init_body, fill_milestone, use_milestone},
    {"plr_inference_receipt", 176, sizeof(plr_inference_receipt), init_body, fill_inference,
     use_inference_receipt},
    {"plr_transfer", 80, sizeof(plr_transfer), init_body, fill_transfer, use_transfer},
    {"plr_slash", 72, sizeof(plr_slash), init_body, fill_nothing, use_slash},
    {"plr_settlement_root", 72, sizeof(plr_settlement_root), init_body, fill_nothing,
     use_settlement_root},
    {"plr_param_change", 24, sizeof(plr_param_change), init_body, fill_param, use_param_change},
    {"plr_plan_options", 80, sizeof(plr_plan_options), init_plan_options, fill_plan, use_plan},
    {"plr_op_desc", 208, sizeof(plr_op_desc), init_op_desc, fill_op, use_op},
};

#endif
