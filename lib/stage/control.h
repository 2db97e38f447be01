/* What stages tell each other besides tensors and tokens: the payload of frames of role CONTROL (CONTROL.md). */
#ifndef PLR_STAGE_CONTROL_H
#define PLR_STAGE_CONTROL_H

#include "base/base.h"

#define PLR__CONTROL_VERSION 1u

/* Types; numbers are never reused. */
#define PLR__CONTROL_SNAPSHOT  1u /* feeder -> all: run a snapshot at `step` before anything else */
#define PLR__CONTROL_OPEN      2u /* feeder -> all: what receipts of `step` say */
#define PLR__CONTROL_SAMPLE    3u /* feeder -> tail: how to sample; belongs to the next token frame */
#define PLR__CONTROL_STOP      4u  /* feeder -> all: stop at `step` */
#define PLR__CONTROL_DONE      5u  /* feeder -> all -> feeder: everything is in */
#define PLR__CONTROL_LOSS      6u  /* tail -> feeder */
#define PLR__CONTROL_TOKEN     7u  /* tail -> feeder */
#define PLR__CONTROL_LEAVES    8u  /* worker -> feeder: leaf hashes of its blocks at `step` */
#define PLR__CONTROL_PROPOSAL  9u  /* worker -> both neighbours: sign this receipt */
#define PLR__CONTROL_SIGNATURE 10u /* neighbour -> worker: signed */
#define PLR__CONTROL_REFUSAL   11u /* neighbour -> worker: not signed, and why */
#define PLR__CONTROL_RECEIPT   12u /* worker -> feeder: a complete receipt */
#define PLR__CONTROL_MISSING   13u /* worker -> feeder: this receipt will not come */
#define PLR__CONTROL_ENTRY     14u /* worker -> feeder: a ledger entry */
#define PLR__CONTROL_FAIL      15u /* anyone -> everyone: the pipeline has failed */
#define PLR__CONTROL_FINISHED  16u /* stage 0 -> feeder, async: no stage has work left with it */
#define PLR__CONTROL_HELLO     17u /* async, both ways: who is at this end */
#define PLR__CONTROL_DROP      18u /* downstream -> upstream: not done here; status AGAIN: busy */
#define PLR__CONTROL_AGAIN     19u /* before tokens: the micro-batch may have been further down before */
#define PLR__CONTROL_ASK       20u /* upstream -> downstream: do you have it? */
#define PLR__CONTROL_HAVE      21u /* the answer */
#define PLR__CONTROL_COMMIT    22u /* replica -> replicas: whose weights count in a round */
#define PLR__CONTROL_TYPES     23u

/* Flags of OPEN and STOP. */
#define PLR__CONTROL_FLAG_SNAPSHOT 1u

/* Kinds of work (LOSS, and the stream field of frames). */
#define PLR__KIND_TRAIN    0u
#define PLR__KIND_EVALUATE 1u
#define PLR__KIND_GENERATE 2u

/* Frame hashes of one micro-batch at one stage; absent ones are zero. */
#define PLR__FRAME_TOKENS 0u
#define PLR__FRAME_IN     1u
#define PLR__FRAME_OUT    2u
#define PLR__FRAME_GRADIN 3u
#define PLR__FRAME_GRAD   4u
#define PLR__FRAMES       5u

#define PLR__CONTROL_MAX_ENTRY 65535u
#define PLR__CONTROL_MAX_TEXT  200u
#define PLR__CONTROL_MAX       (PLR__CONTROL_MAX_ENTRY + 512u) /* largest payload */

/* All fields of all types; a type uses those of its layout, the others are zero. */
typedef struct plr__control {
  uint32_t type;
  uint32_t stage; /* number in the pipeline of the worker spoken of */
  uint32_t micro_batch;
  uint32_t kind, flags, index, top_k, first_block;
  int32_t token, status;
  uint64_t step, epoch, root_step, seed, position;
  float temperature;
  double loss;
  plr_hash root;
  plr_hash frames[PLR__FRAMES];
  uint8_t signature[64];
  const uint8_t *data; /* entry, leaves or text: borrowed */
  uint32_t data_len;
} plr__control;

/* Appends the payload to *out (an encode of what parse gave is the same bytes). */
void plr__control_write(plr_buffer *out, const plr__control *c);

/* Reads a payload; c->data points into it. Errors: VERSION, MALFORMED, TRUNCATED, LIMIT, NON_FINITE. */
plr_status plr__control_parse(plr__control *c, const void *payload, size_t len, plr_error *err);

/* Lower-case name of a type ("proposal"), "?" for others. */
const char *plr__control_name(uint32_t type);

#endif
