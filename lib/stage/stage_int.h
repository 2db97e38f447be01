/* Inside of a stage. Files: create.c (memory), io.c (links in and out), worker.c (order of the work), job.c (the work),
 * receipt.c (proposals and signatures), feeder.c (commands), collect.c (what comes back to the feeder), event.c,
 * journal.c, control.c (messages), fifo.c, budget.c (bits that follow bandwidth). */
#ifndef PLR_STAGE_INT_H
#define PLR_STAGE_INT_H

#include "base/guard.h"
#include "base/base.h"
#include "ledger/ledger.h"
#include <pluralis/stage.h>

#include "control.h"
#include "fifo.h"

#define PLR__UP    PLR_SIDE_UPSTREAM
#define PLR__DOWN  PLR_SIDE_DOWNSTREAM
#define PLR__SIDES 2u

/* Priorities on a link. What must stay in order has one priority: FLOW carries opens, samples, stops, tokens and
 * activations. */
#define PLR__PRIORITY_CONTROL  0u
#define PLR__PRIORITY_GRADIENT 1u
#define PLR__PRIORITY_FLOW     2u

/* Roots are kept for so many snapshots; in a sync pipeline records and opens for so many steps. */
#define PLR__STEPS_KEPT 4u

#define PLR__RECEIPT_BYTES 384u /* more than header ‖ body of a receipt */

#define PLR__MAX_UNDER_WAY 4096u

/* Bound on what one message or one job adds to a queue besides its tensor frames. */
#define PLR__ROOM (4u * 65536u + 16u * 1024u)

#define PLR__JOURNAL_RECORD 64u

/* stream field of a frame: kind of work and boundary (0 = feeder to stage 0, s = stage s-1 to stage s). */
#define PLR__STREAM(kind, boundary) ((uint32_t)(kind) << 16 | (uint32_t)(boundary))

/* What the receipts of a step say, from the feeder. */
typedef struct plr__open {
  uint64_t step, epoch, root_step;
  uint32_t flags, valid;
  plr_hash root;
} plr__open;

/* A frame kept until its job has run. */
typedef struct plr__frame {
  uint8_t *data;
  size_t len, cap;
  uint64_t received_ns;
  uint64_t step; /* of the micro-batch it is for */
  uint32_t micro_batch, reserved;
} plr__frame;

/* A micro-batch on its way in: tokens and, behind stage 0, the activation. */
typedef struct plr__arrival {
  uint32_t kind, micro_batch;
  uint64_t step;
  uint32_t rows, cols; /* of the token frame */
  uint32_t complete;
  plr__frame tokens, activation;
  plr__control sample; /* generate only */
} plr__arrival;

/* A receipt as it goes to the neighbours. */
typedef struct plr__proposal {
  uint32_t present, len;
  plr_hash frames[PLR__FRAMES];
  uint8_t signature[64];
  uint8_t bytes[PLR__RECEIPT_BYTES]; /* header ‖ body */
} plr__proposal;

#define PLR__RECORD_EMPTY   0u
#define PLR__RECORD_QUEUED  1u /* has arrived; feeder: never */
#define PLR__RECORD_FORWARD 2u /* forward frames known */
#define PLR__RECORD_DONE    3u /* all frames known */

/* What this stage saw of one training micro-batch, and the receipts that concern it. */
typedef struct plr__record {
  uint64_t step;
  uint32_t micro_batch, state;
  uint32_t slot;     /* of the shard, from forward to backward */
  uint32_t finished; /* feeder: no stage has work left with it */
  double loss;       /* feeder */
  plr_hash frames[PLR__FRAMES];
  plr__open open;
  plr__proposal own; /* worker: until both have signed or one refused */
  uint32_t signed_by[PLR__SIDES];
  uint8_t signatures[PLR__SIDES][64];
  plr__proposal
      pending[PLR__SIDES]; /* a neighbour's, which came before our own backward was done */
} plr__record;

struct plr_job {
  plr_stage *stage;
  PLR_GUARDED
  uint32_t kind, work; /* PLR_JOB_*, PLR__KIND_* */
  uint64_t step;
  uint32_t micro_batch;
  uint32_t slot; /* of the shard */
  plr_status status;
  plr_error error;
  plr__arrival *arrival;
  plr__frame *gradient;
  uint64_t delay; /* backward: steps since its forward */
  plr_hash frames[PLR__FRAMES];
  uint8_t *out; /* frame made by the job, job_out_cap bytes */
  size_t out_len;
  int32_t token;
  uint64_t begin_ns, budget; /* when it was handed out; bytes for the frame it makes, 0: as the codec says */
};

/* The shard's side of a worker: only a running job touches these. */
typedef struct plr__compute {
  plr_encoder *forward, *backward;
  plr_decoder *decoder;
  int32_t *tokens, *inputs; /* micro_batch x (seq_len + 1); without the label column */
  float *in, *out;          /* N x w; gradients use them too */
  float *logits;            /* N x V, last stage only */
  plr_hash *leaves;
  plr_buffer scratch; /* control payload of the last stage */
} plr__compute;

typedef struct plr__peer {
  plr_link *link;
  uint32_t ready;
  uint8_t key[32];
  plr_hash account;
  plr__fifo outbox;
} plr__peer;

/* Leaf hashes of one snapshot step, as they come in. */
typedef struct plr__roots {
  uint64_t step;
  uint32_t used, count, known;
  plr_hash root;
  plr_hash *leaves; /* one a block */
  uint8_t *have;
} plr__roots;

#define PLR__COMMAND_NONE     0u
#define PLR__COMMAND_TRAIN    1u
#define PLR__COMMAND_EVALUATE 2u
#define PLR__COMMAND_GENERATE 3u
#define PLR__COMMAND_STOP     4u

typedef struct plr__feeder {
  const plr_corpus *corpus;
  uint32_t command, stop_wanted;
  uint32_t started; /* the first snapshot was asked for */
  uint64_t start_step;
  uint64_t epoch;
  uint64_t until;       /* train: steps to be done */
  uint64_t step;        /* next to open */
  uint32_t left;        /* micro-batches of the step before it that are still to be fed */
  uint64_t steps_done;  /* losses in */
  uint32_t *losses;     /* in, of each step that is kept */
  uint64_t finished;    /* micro-batches, counted from step 0, before which all are finished */
  uint64_t snapshot;    /* async: newest snapshot asked for */
  uint64_t outstanding; /* receipts not yet settled */
  double loss_sum;
  uint32_t batches, fed, returned; /* evaluate, generate */
  uint32_t stop_sent, done_sent;
  int32_t *context; /* generate: last seq_len tokens */
  uint32_t context_len;
  plr__control sample;
  int32_t *tokens;
  plr__roots roots[PLR__STEPS_KEPT];
  uint8_t *settled; /* records x count: receipt of that stage came or will not */
  uint32_t *settled_count; /* of each step that is kept */
} plr__feeder;

struct plr_stage {
  plr_context *ctx;
  PLR_GUARDED
  uint32_t role, index, count, lane, snapshot_every;
  uint32_t async, window; /* window: micro-batches under way in the whole pipeline */
  uint32_t steps_kept;    /* records and opens are kept for so many steps */
  char *origin;
  const plr_identity *identity;
  plr_hash account;
  plr_model *model;
  plr_model_info info;
  plr_hash model_hash, profile;
  uint32_t rows; /* token rows of a micro-batch, N */
  uint64_t now;
  plr__peer peer[PLR__SIDES];

  /* failure */
  plr_status failed;
  uint32_t failure_reported, stopped;
  char failure[256];

  /* worker */
  plr_shard *shard;
  uint32_t first_block, end_block, tail;
  uint64_t units;     /* of one micro-batch */
  uint32_t in_flight; /* forwards this stage may be ahead of its backwards */
  uint64_t step;      /* in progress */
  uint32_t forward_next, backward_next; /* of a step; async: backward_next counts those since the last step */
  uint32_t open;      /* forwards whose backward is due */
  uint8_t *slot_used; /* in_flight of them */
  uint64_t clock;     /* async: steps done once the gradients are used */
  uint64_t arrive_step, open_next;
  uint32_t arrive_next, gradient_next;
  uint32_t snapshot_due, stop_wanted, stop_flags;
  uint64_t last_snapshot; /* step, PLR_NEVER before the first */
  uint64_t snapshot_step; /* of the snapshot that is due */
  plr__arrival *arrivals; /* ring */
  uint32_t arrival_cap, arrival_head, arrival_count;
  plr__frame *gradients; /* ring */
  uint32_t gradient_cap, gradient_head, gradient_count;
  plr__control sample; /* of the next token frame, type 0 when there is none */
  plr__open *opens; /* ring of steps_kept */
  plr__compute compute;
  plr_job job;
  uint32_t job_out;
  uint32_t auto_budget;
  uint64_t busy_ns[2]; /* smoothed time of a forward and of a backward job; 0: not known yet */

  plr__record *records; /* ring by step and micro-batch */
  uint32_t record_count;

  plr__feeder feeder;

  size_t tokens_cap, frame_cap, job_out_cap, job_room;
  plr_buffer payload, entry; /* scratch */
  uint8_t *frame;            /* scratch for a control or token frame */
  size_t scratch_cap;

  plr__fifo events;
  uint32_t event_shown;
  uint32_t ready_reported;

  uint8_t *journal; /* ring */
  uint32_t journal_cap, journal_head, journal_count;
  plr_stage_stats stats;
};

/* ---- io.c ---- */
plr_status plr__stage_fail(plr_stage *s, plr_status st, const char *fmt, ...) PLR_PRINTF(3, 4);
const char *plr__side_name(uint32_t side);
const char *plr__role_name(uint32_t role);
void plr__stage_send(plr_stage *s, uint32_t side, const void *frame, size_t len, uint32_t priority);
/* Sends a control message; *hash (may be NULL) gets the frame's SHA-256. */
void plr__stage_send_control(plr_stage *s, uint32_t side, const plr__control *c, uint32_t priority,
                             plr_hash *hash);
/* Passes a message on as it came. */
void plr__stage_relay(plr_stage *s, const plr__control *c, uint32_t priority);
int plr__stage_has_room(const plr_stage *s);
void plr__stage_poll(plr_stage *s);
void plr__stage_flush(plr_stage *s);

/* ---- create.c ---- */
/* Forward-only micro-batches a feeder may have under way; activations a worker behind stage 0 may have waiting. */
uint32_t plr__pipeline_depth(const plr_stage *s);

/* ---- worker.c ---- */
void plr__worker_tensor_frame(plr_stage *s, uint32_t side, const plr_frame_info *info,
                              const void *frame, size_t len);
void plr__worker_control(plr_stage *s, uint32_t side, const plr__control *c);
uint32_t plr__worker_pick(plr_stage *s);
void plr__worker_complete(plr_stage *s, plr_job *job);

/* ---- receipt.c ---- */
plr__record *plr__record_of(plr_stage *s, uint64_t step, uint32_t micro_batch);
/* Where the record of that micro-batch is or will be. */
plr__record *plr__record_place(plr_stage *s, uint64_t step, uint32_t micro_batch);
/* The record to write for that micro-batch; what it held before is given up. */
plr__record *plr__record_begin(plr_stage *s, uint64_t step, uint32_t micro_batch);
void plr__record_done(plr_stage *s, plr__record *r);
void plr__receipt_propose(plr_stage *s, plr__record *r);
void plr__receipt_proposal(plr_stage *s, uint32_t side, const plr__control *c);
void plr__receipt_signature(plr_stage *s, uint32_t side, const plr__control *c);
void plr__receipt_refusal(plr_stage *s, uint32_t side, const plr__control *c);
void plr__frames_root(const plr_hash frames[PLR__FRAMES], plr_hash *out);

/* ---- feeder.c, collect.c ---- */
plr_status plr__feeder_init(plr_stage *s, const plr_stage_options *o);
void plr__feeder_release(plr_stage *s);
void plr__feeder_pump(plr_stage *s);
void plr__feeder_control(plr_stage *s, uint32_t side, const plr__control *c, const plr_hash *hash);
/* The root at a snapshot step, NULL while it is not known. */
const plr__roots *plr__feeder_root(const plr_stage *s, uint64_t step);
int plr__feeder_snapshot_due(const plr_stage *s, uint64_t step);
uint64_t plr__feeder_root_step(const plr_stage *s, uint64_t step);
int plr__feeder_settled(const plr_stage *s, uint64_t step);

/* ---- job.c ---- */
plr_status plr__compute_init(plr_stage *s, const plr_stage_options *o, plr_error *err);
void plr__compute_release(plr_stage *s);
/* Bytes a frame of rows x cols values of any codec of this version can have. */
size_t plr__frame_bound(uint32_t rows, uint32_t cols);

/* ---- budget.c ---- */
void plr__budget_give(plr_stage *s, plr_job *job);
void plr__budget_learn(plr_stage *s, const plr_job *job);

/* ---- event.c ---- */
void plr__event(plr_stage *s, const plr_stage_event *e, const char *message);

/* ---- journal.c ---- */
#define PLR__JOURNAL_RECEIVED 1u
#define PLR__JOURNAL_SENT     2u
#define PLR__JOURNAL_JOB      3u
#define PLR__JOURNAL_BUDGET   4u
void plr__journal(plr_stage *s, uint32_t kind, uint32_t side, uint32_t what, uint64_t step,
                  uint32_t micro_batch, uint64_t time_ns, uint64_t len, const plr_hash *hash);

#endif
