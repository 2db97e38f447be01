/* One stage between two links whose other ends the test holds, to send it whatever a peer might send. */
#ifndef PLR_SIM_RIG_H
#define PLR_SIM_RIG_H

#include "sim/pipeline.h"

#include "stage/stage_int.h"

typedef struct rig {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_corpus *corpus;
  char *text;
  plr_identity *me, *other[2];
  plr_shard *shard;
  plr_stage *stage;
  plr_link *mine[2], *peer[2];
  uint64_t now;
  /* what came to the peers, and what the stage said */
  plr__control last[2]; /* newest control message, without its data */
  uint32_t frames[2][PLR_ROLE_CONTROL + 1], controls[2][PLR__CONTROL_TYPES];
  char fail_text[2][PLR__CONTROL_MAX_TEXT + 1];
  uint32_t failures, refusals, events;
  plr_status status;
  char message[256];
} rig;

extern uint8_t rig_frame[70000];
extern size_t rig_frame_len;

void rig_open(rig *r, uint32_t role, uint32_t index, uint32_t count);
void rig_close(rig *r);
/* Moves bytes, runs jobs and reads events until nothing happens any more. */
void rig_pump(rig *r);
/* These make a frame in rig_frame: */
void rig_make_control(const rig *r, const plr__control *c);
void rig_make_tokens(const rig *r, uint32_t kind, uint32_t step, uint32_t mb, uint32_t rows,
                     uint32_t cols);
void rig_make_tensor(const rig *r, uint32_t role, uint32_t stream, uint32_t step, uint32_t mb,
                     uint32_t cols, float value);
/* Sends rig_frame to the stage on that side and lets everything happen. */
void rig_give(rig *r, uint32_t side);
void rig_give_control(rig *r, uint32_t side, const plr__control *c);
void rig_give_open(rig *r, uint64_t step);
void rig_give_tokens(rig *r, uint32_t step, uint32_t mb);
/* The stage has failed once, with that status and a message that has that text. */
void rig_expect_failure(const rig *r, plr_status status, const char *text);

#endif
