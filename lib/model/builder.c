/* A model from C: operations one by one, and the rest as the text of a manifest without them. */
#include "model/manifest_int.h"

#include "base/guard.h"

#include <string.h>

struct plr_builder {
  plr_context *ctx;
  PLR_GUARDED
  plr_model *model; /* NULL once it was built, or could not be */
  char *text;
  size_t len;
};

static const char where_[] = "builder";

void plr_op_desc_init(plr_op_desc *desc, uint32_t struct_size) {
  plr_op_desc d = {.op = 0};
  plr__options_init(desc, struct_size, &d, (uint32_t)sizeof d);
}

static plr_status set_up(plr_builder *b, const char *json, size_t len, plr_error *err) {
  b->model = plr__model_new(b->ctx);
  b->text = plr__alloc(b->ctx, len + 1);
  if (!b->model || !b->text) return plr__no_memory(err, where_);
  if (len > 0) memcpy(b->text, json, len);
  b->len = len;
  return plr__manifest_begin(b->ctx, b->text, len, &b->model->manifest, err);
}

plr_status plr_builder_create(plr_context *ctx, const char *json, size_t len, plr_builder **out,
                              plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "out is NULL");
  *out = NULL;
  if (!ctx || (!json && len > 0) || len == SIZE_MAX)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "context or text is NULL");
  plr_builder *b = plr__calloc(ctx, 1, sizeof *b);
  if (!b) return plr__no_memory(err, where_);
  b->ctx = plr__context_ref(ctx);
  plr_status st = set_up(b, json, len, err);
  if (st != PLR_OK) {
    plr_builder_destroy(b);
    return st;
  }
  *out = b;
  return PLR_OK;
}

void plr_builder_destroy(plr_builder *builder) {
  if (!builder) return;
  PLR_GUARD_END(builder);
  plr_context *ctx = builder->ctx;
  plr__model_unref(builder->model);
  plr__free(ctx, builder->text);
  plr__free(ctx, builder);
  plr__context_unref(ctx);
}

static plr_status check(const plr_builder *b, plr_error *err) {
  if (!b) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "builder is NULL");
  if (b->model) return PLR_OK;
  return plr__fail(err, PLR_ERR_INVALID_STATE, where_, "it has built its model, or failed to");
}

plr_status plr_builder_begin(plr_builder *builder, uint32_t part, uint32_t repeat, plr_error *err) {
  PLR_GUARD(builder, err);
  PLR_TRY(check(builder, err));
  return plr__program_begin(&builder->model->manifest.program, part, repeat, err);
}

plr_status plr_builder_op(plr_builder *builder, const plr_op_desc *desc, plr_error *err) {
  PLR_GUARD(builder, err);
  PLR_TRY(check(builder, err));
  if (!desc) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "desc is NULL");
  plr_op_desc d;
  plr_op_desc_init(&d, (uint32_t)sizeof d);
  PLR_TRY(plr__options_read(&d, (uint32_t)sizeof d, desc, "operation", err));
  return plr__program_add(&builder->model->manifest.program, &d, err);
}

plr_status plr_builder_build(plr_builder *builder, plr_model **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "out is NULL");
  *out = NULL;
  PLR_GUARD(builder, err);
  PLR_TRY(check(builder, err));
  plr_model *model = builder->model;
  builder->model = NULL;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st =
      plr__manifest_finish(builder->ctx, builder->text, builder->len, &model->manifest, err);
  plr__fpenv_leave(saved);
  if (st == PLR_OK) st = plr__model_complete(model, err);
  if (st != PLR_OK) {
    plr__model_unref(model);
    return st;
  }
  *out = model;
  return PLR_OK;
}
