/* Inside of a stage. Files: create.c (memory), io.c (links in and out), peer.c (who is at the other ends), route.c
 * (which of them gets a micro-batch), intake.c (what comes), worker.c (order of the work), job.c (the work),
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
#include "permute.h"

#define PLR__UP    PLR_SIDE_UPSTREAM
#define PLR__DOWN  PLR_SIDE_DOWNSTREAM
#define PLR__SIDES 2u
#define PLR__MATE  PLR_SIDE_REPLICA /* neither: micro-batches do not go there */

/* Priorities on a link. What must stay in order has one priority: FLOW carries opens, samples, stops, tokens and
 * activations. */
#define PLR__PRIORITY_CONTROL  0u
#define PLR__PRIORITY_GRADIENT 1u
#define PLR__PRIORITY_FLOW     2u

/* Roots are kept for so many snapshots; in a sync pipeline records and opens for so many steps. */
#define PLR__STEPS_KEPT 4u

#define PLR__RECEIPT_BYTES 384u /* more than header ‖ body of a receipt */

#define PLR__MAX_UNDER_WAY 4096u

/* Asynchronous: receipts of what is finished are waited for so long at the end of a command. */
#define PLR__RECEIPT_PATIENCE UINT64_C(10000000000)

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
  uint64_t from; /* peer */
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

#define PLR__SLOT_FREE   0u
#define PLR__SLOT_USED   1u
#define PLR__SLOT_FORGET 2u /* free once the shard has been told to forget it */

#define PLR__FINISHED_VOID 2u

#define PLR__RECORD_EMPTY   0u
#define PLR__RECORD_QUEUED  1u /* has arrived; feeder: never */
#define PLR__RECORD_FORWARD 2u /* forward frames known */
#define PLR__RECORD_DONE    3u /* all frames known */

/* What this stage saw of one training micro-batch, and the receipts that concern it. */
typedef struct plr__record {
  uint64_t step;
  uint32_t micro_batch, state;
  uint32_t slot;     /* of the shard, from forward to backward */
  uint64_t peer[PLR__SIDES]; /* its way: who sent it, who has it next; 0: nobody */
  plr_hash account[PLR__SIDES]; /* of these, as the receipt names them */
  uint64_t sent_ns, refused_by;
  uint32_t again, drops; /* it may have been further down before; how often it came back undone */
  uint64_t asking;       /* peers that were asked whether they have it: bits by place */
  plr__frame tokens, out; /* async: kept to be sent again; out: activation or loss, after backward the gradient */
  uint32_t finished; /* feeder: no stage has work left with it, or nobody can do it */
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
  uint32_t blame; /* 1: it failed because of what a neighbour sent */
  uint64_t blame_peer; /* averaging: of which replica */
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

#define PLR__PEER_ATTACHED 0u
#define PLR__PEER_READY    1u /* async: its hello has not come */
#define PLR__PEER_UP       2u
#define PLR__PEER_GONE     3u /* its link is not ours any more; freed at the next poll */

/* A neighbour. */
typedef struct plr__peer {
  plr_link *link;
  uint64_t id; /* from 1, in the order of attach */
  uint32_t side, state;
  uint32_t place; /* in asking */
  uint32_t lane, under_way; /* micro-batches it was sent and has not answered */
  uint8_t key[32];
  plr_hash account;
  plr__fifo outbox;
  plr__arrival *partial; /* tokens whose activation has not come */
  plr__control sample;   /* of the next token frame, type 0 when there is none */
  uint32_t skipping; /* an activation that came before follows: which */
  uint32_t skip_micro_batch;
  uint64_t skip_step;
  uint32_t again_next;   /* the next training tokens may have been further down before */
  uint64_t due_ns;       /* cumulative expected time of what it was sent */
  uint64_t mean_ns;      /* smoothed time of one; 0: not known */
  uint64_t done_ns;      /* of its newest answer */
  uint64_t since_ns;     /* since when it owes one */
  uint64_t busy_until_ns;
} plr__peer;

#define PLR__AVERAGE_IDLE    0u
#define PLR__AVERAGE_DUE     1u /* our share is to be made */
#define PLR__AVERAGE_COLLECT 2u /* it was sent, the others' come in */
#define PLR__AVERAGE_APPLY   3u /* it is known whose count */

/* What a replica says of a part of its weights. */
typedef struct plr__share {
  uint64_t peer, round;
  plr_hash account;
  uint32_t weight; /* micro-batches since its last round */
  plr__frame frame;
} plr__share;

/* Averaging with replicas (average.c). */
typedef struct plr__average {
  uint32_t every, parts, phase, rows, named;
  uint32_t join_rounds, rounds; /* rounds in which it does not count; rounds it took part in */
  uint64_t round, counted, deadline_ns;
  int64_t elements;
  plr__permutation permutation;
  plr__share own, theirs[PLR_STAGE_MAX_PEERS]; /* by place of the peer */
  plr_hash names[PLR_STAGE_MAX_PEERS + 1];     /* accounts that count, in order */
  /* a running job's */
  plr_encoder *encoder;
  plr_decoder *decoder;
  float *vector, *mask, *got;
  double *sum;
} plr__average;

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
  uint64_t quiet_ns;    /* since when nothing has been finished or settled */
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
  plr__peer *peers[PLR_STAGE_MAX_PEERS];
  uint32_t peer_count;
  uint64_t peer_ids, places;
  uint64_t patience_ns, reply_timeout_ns;
  uint64_t alone_ns[PLR__SIDES]; /* since when there is nobody on that side, PLR_NEVER: there is */

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
  uint64_t *leaves_passed; /* async: by first block, 1 + step of the newest that were passed on */
  plr__arrival *arrivals, **queue; /* queue: those in use, in order, then the free ones */
  uint32_t arrival_cap, arrival_count;
  plr__frame *gradients; /* ring */
  uint32_t gradient_cap, gradient_head, gradient_count;
  plr__open *opens; /* ring of steps_kept */
  plr__compute compute;
  plr_job job;
  uint32_t job_out;
  uint32_t auto_budget;
  uint64_t busy_ns[2]; /* smoothed time of a forward and of a backward job; 0: not known yet */

  plr__record *records; /* ring by step and micro-batch */
  uint32_t record_count;

  plr__feeder feeder;
  plr__average average;

  size_t tokens_cap, frame_cap, job_out_cap, job_room;
  plr_buffer payload, entry; /* scratch */
  uint8_t *frame;            /* scratch for a control or token frame */
  size_t scratch_cap;

  plr__fifo held; /* for the feeder, while nobody is downstream */
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
/* To a peer; to nobody when it is NULL or gone. */
void plr__stage_send(plr_stage *s, plr__peer *p, const void *frame, size_t len, uint32_t priority);
/* Sends a control message; *hash (may be NULL) gets the frame's SHA-256. */
void plr__stage_send_control(plr_stage *s, plr__peer *p, const plr__control *c, uint32_t priority,
                             plr_hash *hash);
/* Sends a message to one neighbour downstream, on its way to the feeder; or to all of them. */
void plr__stage_release_held(plr_stage *s, plr__peer *p);
void plr__stage_relay(plr_stage *s, const plr__control *c, uint32_t priority);
void plr__stage_flood(plr_stage *s, const plr__control *c, uint32_t priority);
/* Writes at most PLR__CONTROL_MAX_TEXT bytes and a NUL: a peer's text, with what cannot be shown replaced. */
void plr__show_text(const plr__control *c, char out[PLR__CONTROL_MAX_TEXT + 1]);
int plr__stage_has_room(const plr_stage *s);
void plr__stage_poll(plr_stage *s);
void plr__stage_flush(plr_stage *s);

/* ---- peer.c ----------------------------------------------------------------------------------- */

/* The neighbour of that number that is up, or NULL; the first one on a side; how many there are. */
plr__peer *plr__peer_of(const plr_stage *s, uint64_t id);
plr__peer *plr__peer_first(const plr_stage *s, uint32_t side);
uint32_t plr__peers_up(const plr_stage *s, uint32_t side);
void plr__peer_ready(plr_stage *s, plr__peer *p);
void plr__peer_hello(plr_stage *s, plr__peer *p, const plr__control *c);
/* A neighbour did something wrong, or is lost. It is given up; where nobody else can take its place, the stage fails
 * with that message. */
void plr__peer_fault(plr_stage *s, plr__peer *p, plr_status st, const char *fmt, ...)
    PLR_PRINTF(4, 5);
void plr__peers_reap(plr_stage *s);
/* Timers. */
void plr__peers_advance(plr_stage *s);
uint64_t plr__peers_deadline(const plr_stage *s);
void plr__peers_release(plr_stage *s);

/* ---- route.c ---------------------------------------------------------------------------------- */

/* Sends a micro-batch whose frames are kept to somebody downstream, now or when there is somebody. */
void plr__route(plr_stage *s, plr__record *r);
/* All that wait for somebody. */
void plr__route_waiting(plr_stage *s);
/* Its answer has come from that peer: a gradient, or that it is finished. */
void plr__route_answered(plr_stage *s, plr__record *r);
/* A peer is gone: what it had goes elsewhere. */
void plr__route_lost(plr_stage *s, const plr__peer *p);
void plr__route_drop(plr_stage *s, plr__peer *p, const plr__control *c);
void plr__route_ask(plr_stage *s, plr__peer *p, const plr__control *c);
void plr__route_have(plr_stage *s, plr__peer *p, const plr__control *c);
/* Tells the one upstream that this micro-batch will not be done here. */
void plr__route_refuse(plr_stage *s, plr__peer *to, uint64_t step, uint32_t micro_batch,
                       plr_status why);
/* A frame with the memory it needs. 0: no memory, the stage has failed. */
int plr__frame_keep(plr_stage *s, plr__frame *to, const void *frame, size_t len);

/* ---- create.c ---- */
/* Forward-only micro-batches a feeder may have under way; activations a worker behind stage 0 may have waiting. */
uint32_t plr__pipeline_depth(const plr_stage *s);

/* ---- intake.c, worker.c ---- */
void plr__worker_tensor_frame(plr_stage *s, plr__peer *p, const plr_frame_info *info,
                              const void *frame, size_t len);
void plr__worker_control(plr_stage *s, plr__peer *p, const plr__control *c);
/* Sends leaf hashes on, to the feeder. */
void plr__stage_pass_leaves(plr_stage *s, const plr__control *c);
void plr__arrival_remove(plr_stage *s, plr__arrival *a);
/* Token rows that its activation has. */
uint32_t plr__arrival_rows(const plr_stage *s, const plr__arrival *a);
/* Gives up a micro-batch that is queued or waits for its gradient. */
void plr__worker_cancel(plr_stage *s, plr__record *r);
/* The answer to the one who sent it: its gradient, or that it is finished. */
void plr__worker_answer(plr_stage *s, plr__record *r);
/* A peer is gone: half of a micro-batch is of no use. */
void plr__worker_lost(plr_stage *s, plr__peer *p);
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
void plr__receipt_proposal(plr_stage *s, plr__peer *p, const plr__control *c);
void plr__receipt_signature(plr_stage *s, plr__peer *p, const plr__control *c);
void plr__receipt_refusal(plr_stage *s, plr__peer *p, const plr__control *c);
/* Receipts that wait for a peer's signature will not come. */
void plr__receipts_lost(plr_stage *s, const plr__peer *p);
void plr__frames_root(const plr_hash frames[PLR__FRAMES], plr_hash *out);

/* ---- feeder.c, collect.c ---- */
plr_status plr__feeder_init(plr_stage *s, const plr_stage_options *o);
void plr__feeder_release(plr_stage *s);
void plr__feeder_pump(plr_stage *s);
void plr__feeder_control(plr_stage *s, plr__peer *p, const plr__control *c, const plr_hash *hash);
/* A micro-batch that nobody could compute. */
void plr__feeder_void(plr_stage *s, plr__record *r, plr_status why);
/* The root at a snapshot step, NULL while it is not known. */
const plr__roots *plr__feeder_root(const plr_stage *s, uint64_t step);
int plr__feeder_snapshot_due(const plr_stage *s, uint64_t step);
uint64_t plr__feeder_root_step(const plr_stage *s, uint64_t step);
/* async: receipts of that step that have not come will not be waited for. */
void plr__feeder_unsettled(plr_stage *s, uint64_t step);
/* How long it waits for what may have been lost on its way round. */
uint64_t plr__feeder_patience(const plr_stage *s);
/* When it stops waiting for receipts at the end of a command, or PLR_NEVER. */
uint64_t plr__feeder_deadline(const plr_stage *s);
int plr__feeder_settled(const plr_stage *s, uint64_t step);

/* ---- job.c ---- */
plr_status plr__compute_init(plr_stage *s, const plr_stage_options *o, plr_error *err);
void plr__compute_release(plr_stage *s);
/* Bytes a frame of rows x cols values of any codec of this version can have. */
size_t plr__frame_bound(uint32_t rows, uint32_t cols);

/* ---- average.c -------------------------------------------------------------------------------- */

plr_status plr__average_init(plr_stage *s, const plr_stage_options *o, plr_error *err);
void plr__average_release(plr_stage *s);
/* The jobs, and what they bring. */
plr_status plr__average_share(plr_job *job);
plr_status plr__average_apply(plr_job *job);
void plr__average_shared(plr_stage *s, const plr_job *job);
void plr__average_applied(plr_stage *s, const plr_job *job);
/* A step was done; a replica's weights, or who counts, have come; somebody came, went, or is late. */
void plr__average_stepped(plr_stage *s);
void plr__average_frame(plr_stage *s, plr__peer *p, const plr_frame_info *f, const void *frame,
                        size_t len);
void plr__average_commit(plr_stage *s, plr__peer *p, const plr__control *c);
void plr__average_collect(plr_stage *s);
uint64_t plr__average_deadline(const plr_stage *s);

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
#define PLR__JOURNAL_ROUTE    5u
#define PLR__JOURNAL_PEER     6u
void plr__journal(plr_stage *s, uint32_t kind, uint32_t side, uint32_t what, uint64_t step,
                  uint32_t micro_batch, uint64_t time_ns, uint64_t len, const plr_hash *hash);

#endif
