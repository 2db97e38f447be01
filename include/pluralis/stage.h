/* libpluralis: a stage drives one shard between its links: frames and time in; frames, jobs, events and receipts out.
 *
 * The pipeline is a ring. A feeder (the data provider) is upstream of stage 0 and downstream of the last stage:
 *
 *   feeder -> stage 0 -> stage 1 -> ... -> stage P-1 -> feeder          tokens and activations
 *   feeder <- stage 0 <- stage 1 <- ... <- stage P-1                    gradients; counter-signatures go both ways
 *
 * receive, transmit and advance (on the links and here) never compute. Work is handed out as jobs, which touch the
 * shard and the codecs only and may run on any thread; the stage decides their order (PLR_PIPELINE_*), the
 * host decides when and where they run. The loop of a host, for each stage:
 *
 *   plr_link_receive(...) for bytes that came;  plr_link_advance(...) at its deadlines
 *   plr_stage_advance(stage, now);
 *   while (plr_stage_next_job(stage, &job) == PLR_OK) { plr_job_run(job); plr_stage_complete(stage, job, now); }
 *   while (plr_stage_next_event(stage, &event) == PLR_OK) ...
 *   plr_link_transmit(...) until nothing is left
 *
 * Asynchronous pipelines may have several replicas of each stage; each is linked with all, or some, of those before and
 * behind it, and with those beside it if they average their weights.
 *
 * Threads: a stage and its links belong to one thread at a time; plr_job_run alone may run beside it, on any.
 * Signing and checking receipts is done by that thread (about half a millisecond for each micro-batch), everything
 * that grows with the model by jobs.
 *
 * Given the same frames in the same order a stage does the same, bit for bit: the journal says which they were.
 */
#ifndef PLURALIS_STAGE_H
#define PLURALIS_STAGE_H

#include <pluralis/exchange.h>
#include <pluralis/identity.h>
#include <pluralis/link.h>
#include <pluralis/shard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One shard between its links, or the feeder that closes the ring. */
typedef struct plr_stage plr_stage;

/* Work a stage hands out; it belongs to the stage. */
typedef struct plr_job plr_job;

/* Roles of a stage. */
#define PLR_STAGE_WORKER 0u
#define PLR_STAGE_FEEDER 1u

/* Which place in the pipeline, with what. */
typedef struct plr_stage_options {
  uint32_t struct_size;
  uint32_t role;             /* PLR_STAGE_WORKER (default) or PLR_STAGE_FEEDER */
  uint32_t index, count;     /* worker: number in the pipeline and number of stages; feeder: count only */
  uint32_t snapshot_every;   /* feeder: steps between snapshot jobs; 0 = only at start and stop */
  uint32_t lane;             /* replica number in receipts, the same on all stages and the feeder; 0 */
  uint64_t epoch;            /* feeder: ledger epoch receipts are written for (see plr_stage_set_epoch) */
  uint64_t start_step;       /* feeder: first step to feed; a worker takes it from its shard */
  const char *origin;        /* ledger origin, part of what receipts sign; copied */
  const plr_identity *identity; /* borrowed until destroy */
  const plr_model *model;    /* kept by reference */
  plr_shard *shard;          /* worker: borrowed until destroy; touched only by plr_job_run. It needs
                                max_in_flight slots */
  const plr_corpus *corpus;  /* feeder: borrowed until destroy */
  plr_codec forward_codec, backward_codec; /* default raw fp32 */
  uint32_t auto_budget;      /* worker: 1 = each tensor frame of training gets as many bytes as its link carries while
                                this stage computes one micro-batch (plr_link_budget): bits follow bandwidth. PARAMETRIC
                                codecs only. The budgets are written into the journal; default 0 */
  uint32_t schedule;         /* PLR_PIPELINE_*, the same on all stages and the feeder; default SYNC */
  uint32_t max_in_flight;    /* worker: forwards it may be ahead of its backwards, and so the bound of its delay;
                                default 0: count - index. The last stage has 1, a sync stage at most micro_batches */
  uint32_t window;           /* ASYNC: micro-batches under way in the whole pipeline, the same everywhere; default 0:
                                2 * count. More are needed where links are slow. At most 4096 */
  uint64_t delay_horizon;    /* ASYNC, worker whose shard has PLR_DELAYED_NEWEST: the learning rate is divided by
                                delay^(1 - step/delay_horizon) before that step; default 0: it is not */
  uint64_t patience_ns;      /* ASYNC: how long to go on without any neighbour on one side, for which the host may
                                attach another one; then the stage fails. Default 0: at once; PLR_NEVER: it waits */
  uint32_t average_every;    /* ASYNC, worker: steps between rounds of averaging with the replicas that are attached,
                                the same for all of them; default 0: none */
  uint32_t average_parts;    /* so many rounds for all weights: each takes the next part of a permutation of them that
                                all replicas know; default 0: 16. Memory: two copies of the weights' size and frames of
                                a part from each replica */
  uint32_t join_rounds;      /* a newcomer's first rounds, in which it takes the others' average and its
                                own weights do not count; default 0 */
  uint32_t reserved;         /* 0 */
  uint64_t reply_timeout_ns; /* ASYNC: a neighbour that has been given micro-batches and answers none for so long
                                is given up, times the number of stages behind; default 0: never (its link
                                may still time out) */
} plr_stage_options;

/* Schedules. SYNC: 1F1B with a flush at each step; the same bits as the model in one piece. ASYNC: no flush: a stage
 * steps after every `micro_batches` backwards of its own and goes on, so that a micro-batch's backward comes some steps
 * after its forward; what it then computes with is an option of the shard (PLR_DELAYED_*), which must hold one version
 * for each step that may lie between. The pipeline runs empty at snapshots only. What an asynchronous stage computes
 * depends on the order in which frames come; given the same order it does the same, bit for bit. Memory: `window`
 * arriving frames and max_in_flight gradients, as large as the frames are. */
#define PLR_PIPELINE_SYNC 0u
#define PLR_PIPELINE_ASYNC 1u

/* Fills *options with the defaults. struct_size: sizeof(plr_stage_options) as compiled. Since 0.1. */
PLR_API void plr_stage_options_init(plr_stage_options *options, uint32_t struct_size);

/* Creates a stage with everything it will need. Errors: INVALID_ARGUMENT (what is missing, blocks that cannot be
 * those of this stage, a shard with too few slots, a text too short for the model), MISMATCH (the shard is one of
 * another model), LIMIT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_stage_create(plr_context *ctx, const plr_stage_options *options, plr_stage **out,
                                    plr_error *err);

/* Works in every state. A job that is out ends with its stage, so no plr_job_run may be under way. Since 0.1. */
PLR_API void plr_stage_destroy(plr_stage *stage);

/* Sides of a stage. */
#define PLR_SIDE_UPSTREAM 0u
#define PLR_SIDE_DOWNSTREAM 1u
#define PLR_SIDE_REPLICA 2u /* another replica of the same stage, with which it averages its weights */

/* Gives the stage a link, borrowed until detach, destroy, or a PLR_STAGE_PEER event that says it was given up; from now
 * on the host pumps only its bytes (receive, transmit, deadlines) and leaves send and next_event to the stage. Both
 * sides must be attached before anything moves. The feeder's downstream is stage 0, its upstream the last stage.
 * In an asynchronous pipeline a stage may have several replicas: one link to each on that side, at any time, up to
 * PLR_STAGE_MAX_PEERS. A micro-batch is sent to one of them, the least loaded by their measured times; its gradient
 * comes back the same way. What was with a neighbour that fails is sent to another, and counted once by all stages.
 * Errors: INVALID_STATE (sync: there is one on that side; the link is attached), LIMIT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_stage_attach(plr_stage *stage, uint32_t side, plr_link *link);

/* Links a stage may have, both sides together. */
#define PLR_STAGE_MAX_PEERS 64u

/* Takes a link back, as if its neighbour had failed. NOT_FOUND: it is not attached (any more). Since 0.1. */
PLR_API plr_status plr_stage_detach(plr_stage *stage, plr_link *link);

/* Takes in what the links have received and moves everything that can move. To be called after bytes were received
 * or transmitted, after plr_link_advance and after plr_link_close. Nothing is taken from the links while events are
 * not read (their queue is bounded). Errors: the status the stage failed with, also reported once as
 * PLR_STAGE_FAILED. Since 0.1. */
PLR_API plr_status plr_stage_advance(plr_stage *stage, uint64_t now_ns);

/* Time of the next call to advance that needs no other reason (patience, reply_timeout, a neighbour that was busy), or
 * PLR_NEVER. Since 0.1. */
PLR_API uint64_t plr_stage_next_deadline_ns(const plr_stage *stage);

/* ---- jobs ------------------------------------------------------------------------------------- */

/* Kinds of a job. */
#define PLR_JOB_FORWARD 1u
#define PLR_JOB_BACKWARD 2u
#define PLR_JOB_STEP 3u
#define PLR_JOB_INFER 4u    /* evaluation and generation */
#define PLR_JOB_SHARE 6u    /* a part of the weights is taken for replicas */
#define PLR_JOB_AVERAGE 7u  /* and their average put in */
#define PLR_JOB_SNAPSHOT 5u /* run computes the leaf hashes; the host saves the shard as well, before complete */

/* What a job is. Set struct_size before the call that fills it. */
typedef struct plr_job_info {
  uint32_t struct_size;
  uint32_t kind;        /* PLR_JOB_* */
  uint64_t step;        /* it belongs to */
  uint32_t micro_batch; /* of that step */
  uint32_t reserved;
} plr_job_info;

/* The next job, AGAIN when nothing can run now. One job of a stage is out at a time. Since 0.1. */
PLR_API plr_status plr_stage_next_job(plr_stage *stage, plr_job **out);

/* Fills *info. Threads: const. Since 0.1. */
PLR_API void plr_job_get_info(const plr_job *job, plr_job_info *info);

/* Computes. Any thread; touches only the shard and codecs of its stage. The status is kept in the job: complete
 * acts on it. Since 0.1. */
PLR_API plr_status plr_job_run(plr_job *job);

/* Takes the result back; frames go out at the next transmit. Since 0.1. */
PLR_API plr_status plr_stage_complete(plr_stage *stage, plr_job *job, uint64_t now_ns);

/* ---- events ----------------------------------------------------------------------------------- */

/* Types of an event. `step` of an event counts steps done, except that of RECEIPT and REFUSED, which is the number of
 * the step, from 0, and whose `index` is the micro-batch. */
#define PLR_STAGE_READY 1u     /* both links are up */
#define PLR_STAGE_STEP 2u      /* a step is done. Feeder: value = mean training loss (nats a token) */
#define PLR_STAGE_EVAL 3u      /* feeder: value = mean validation loss over `index` micro-batches */
#define PLR_STAGE_TOKEN 4u     /* feeder: a generated token; index counts from 0, token is the id */
#define PLR_STAGE_GENERATED 5u /* feeder: generation is complete */
#define PLR_STAGE_RECEIPT 6u   /* data: a complete receipt (three signatures). Worker: its own. Feeder: anyone's */
#define PLR_STAGE_ENTRY 7u     /* feeder: data: a ledger entry a worker submitted */
#define PLR_STAGE_ROOT 8u      /* hash: weight root of the whole model (feeder); Merkle root of own leaves (worker) */
#define PLR_STAGE_STOPPED 9u   /* stopped after a snapshot; feeder: hash = weight root. Nothing more will come; pump
                                  the links until their queues are empty before closing them */
#define PLR_STAGE_FAILED 10u   /* status, message: a link or a peer failed; only destroy is left. Pump the links once
                                  more: they carry word of it to the other stages */
#define PLR_STAGE_REFUSED 11u  /* message: a receipt was refused by a neighbour, or by us; training goes on */
#define PLR_STAGE_IDLE 12u     /* feeder: the command is finished, the pipeline empty: the next may be given */
#define PLR_STAGE_PEER 13u     /* ASYNC: a neighbour: status PLR_OK: it is up; else it was given up, and why: CLOSED
                                  (its link ended), UNAVAILABLE (it answered nothing), MISMATCH (another place or plan),
                                  SHAPE, MALFORMED, SEQUENCE, VERSION, CHECKSUM, NON_FINITE (what it sent), LIMIT (it
                                  takes nothing). index: counts links in the order of attach, from 1; token: its side;
                                  hash: its account; message. A link given up is not touched by the stage any more */
#define PLR_STAGE_AVERAGED 15u /* worker: a round of averaging: index: the round; token: replicas that took part; hash:
                                  of the average, the same at all of them. A round that fails changes nothing */
#define PLR_STAGE_DROPPED 14u  /* feeder: a micro-batch that no stage could compute is left out; step, index, message */

/* What happened: each type says which fields it sets, the others are 0. Its pointers are valid until the next call on
 * the stage that is not const. */
typedef struct plr_stage_event {
  uint32_t struct_size;
  uint32_t type;         /* PLR_STAGE_READY and so on */
  int32_t status;        /* plr_status */
  int32_t token;         /* id */
  uint64_t step, index;  /* as the type says */
  double value;          /* a loss in nats a token */
  plr_hash hash;         /* a root */
  const uint8_t *data;   /* bytes of an entry or a receipt */
  size_t len;            /* of data */
  const char *message;   /* a line of text */
} plr_stage_event;

/* Next event; AGAIN when there is none. Set event->struct_size first. Since 0.1. */
PLR_API plr_status plr_stage_next_event(plr_stage *stage, plr_stage_event *event);

/* ---- commands --------------------------------------------------------------------------------- */

/* Commands of the feeder may be given before READY. They run one at a time (AGAIN while another runs) and end with
 * IDLE, when nothing is under way any more.
 *
 * Feed training steps until `until_step` steps are done. Before the first step all stages run a snapshot job: it
 * shows that they stand at the same step, and gives the root that the first receipts name. At most two steps are
 * under way. Ends when all receipts are in. Errors: LIMIT (2^32 steps). Since 0.1. */
PLR_API plr_status plr_stage_train(plr_stage *feeder, uint64_t until_step);

/* Feeder: run `batches` >= 1 validation micro-batches (indices 0, 1, ...), then EVAL. Since 0.1. */
PLR_API plr_status plr_stage_evaluate(plr_stage *feeder, uint32_t batches);

/* Feeder: continue `prompt` (1..seq_len tokens) by `count` tokens, by recomputing the last seq_len tokens each time;
 * sampled at the last stage (see plr_sample). Since 0.1. */
PLR_API plr_status plr_stage_generate(plr_stage *feeder, const int32_t *prompt, uint32_t prompt_len, uint32_t count,
                                      float temperature, uint32_t top_k, uint64_t seed);

/* Feeder: end the running command (training after the last step it has begun to feed), snapshot on all stages if
 * there was training, then STOPPED everywhere. Since 0.1. */
PLR_API plr_status plr_stage_stop(plr_stage *feeder);

/* Worker: sends a ledger entry (AccountOpen, Claim; at most 65,535 bytes) downstream to the feeder, copied.
 * AGAIN: the queue is full. Since 0.1. */
PLR_API plr_status plr_stage_submit(plr_stage *stage, const void *entry, size_t len);

/* Epoch written into receipts of the steps the feeder has not yet begun to feed; it tells the workers. Since 0.1. */
PLR_API plr_status plr_stage_set_epoch(plr_stage *feeder, uint64_t epoch);

/* Takes up to cap bytes of the journal (whole records; lib/stage/JOURNAL.md). AGAIN when there are none,
 * BUFFER_TOO_SMALL when not even one fits. A host that keeps no journal need not call this: it is bounded and
 * drops its oldest records, counted in the stats. Since 0.1. */
PLR_API plr_status plr_stage_read_journal(plr_stage *stage, void *buf, size_t cap, size_t *len);

/* What a stage has counted. Set struct_size before the call that fills it. */
typedef struct plr_stage_stats {
  uint32_t struct_size, reserved;
  uint64_t steps, forwards, backwards, receipts; /* done, the last one counter-signed by both sides */
  uint64_t receipts_refused;                     /* proposals of neighbours that did not match what we saw */
  uint64_t raw_bytes, sent_bytes;                /* dense bf16 equivalent of the tensors sent; bytes of all frames */
  uint64_t journal_records, journal_dropped;     /* written, and of these lost before they were read */
  uint64_t forward_budget, backward_budget;      /* auto_budget: bytes, of the newest tensor frame each way; 0: none */
  uint64_t delays, max_delay;                    /* steps between forward and backward: sum over backwards, largest */
  uint64_t resent, duplicates;                   /* micro-batches sent again; that came again and were counted once */
  uint64_t peers_lost;                           /* neighbours given up */
} plr_stage_stats;

/* Fills *stats. Errors: INVALID_ARGUMENT. Threads: const. Since 0.1. */
PLR_API plr_status plr_stage_get_stats(const plr_stage *stage, plr_stage_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
