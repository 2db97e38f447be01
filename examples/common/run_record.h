/* What is remembered of one training run: the panel shows it while it grows, the report draws
 * it, and a text file keeps it, so that an interrupted run resumes with its whole history.
 *
 * The file is append-only, one record a line, and survives a kill: a last line without newline
 * is dropped. */
#ifndef EXAMPLES_RUN_RECORD_H
#define EXAMPLES_RUN_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define RUN_MAX_STAGES 64

/* Kinds of spans, numbered as the library's jobs. */
#define RUN_FORWARD  1u
#define RUN_BACKWARD 2u
#define RUN_STEP     3u
#define RUN_INFER    4u
#define RUN_SNAPSHOT 5u

struct run_point {
  uint64_t step;     /* optimizer steps done */
  double train_loss; /* of that step, nats a byte; NAN when unknown */
  double valid_loss; /* NAN when not evaluated after this step */
  uint64_t sent,
      raw; /* so far, on the links between stages: bytes sent, and what dense bf16 would take */
  double seconds; /* so far, in all sessions */
};

/* Bits a second of the links between stages while a step was trained: what they were given (0: all they can), and what
 * they measured, on average. */
struct run_rate {
  uint64_t step;
  double given, measured;
};

struct run_traffic {
  uint64_t sent, raw; /* both directions; raw is 0 on the two links of the feeder */
};

struct run_span {
  uint32_t stage, kind, micro_batch;
  uint64_t step, begin_ns, end_ns;
};

struct run_record {
  char name[64];     /* "ours" or "dense": also the folder */
  char boundary[96]; /* what crosses a cut, in words */
  uint32_t stages;
  uint32_t dense;    /* 1: the baseline */
  uint64_t steps_total, tokens_per_step, parameters;
  double ratio_planned; /* 0 for the baseline */
  struct run_point *points;
  size_t point_count, point_cap;
  struct run_rate *rates; /* of a run whose bits follow the links */
  size_t rate_count, rate_cap;
  struct run_traffic traffic[RUN_MAX_STAGES +
                             1]; /* link i is upstream of stage i; the last returns to the feeder */
  struct run_traffic traffic_base[RUN_MAX_STAGES + 1]; /* of earlier sessions */
  char keys[RUN_MAX_STAGES][65];                       /* public keys of the stages, hex */
  double idle[RUN_MAX_STAGES];                         /* part of the time without a job, 0..1 */
  struct run_span *spans; /* a window of two steps in the middle of the run */
  size_t span_count, span_cap;
  char *prompt, *sample;
  FILE *file;
};

/* Reads DIR/record.tsv when it is there, forgets points after `step` (pass UINT64_MAX for all),
 * and rewrites the file for appending. 0, or -1 with a message naming the file. The caller has
 * filled in the plain fields. */
int run_record_open(struct run_record *r, const char *dir, uint64_t step, char *message,
                    size_t message_cap);

/* Reads it and no more, for the report. 1: there is none. */
int run_record_load(struct run_record *r, const char *dir, char *message, size_t message_cap);
void run_record_free(struct run_record *r);

/* Each adds to memory and appends a line (when the record is open). */
void run_record_point(struct run_record *r, const struct run_point *point);
void run_record_rate(struct run_record *r, const struct run_rate *rate);
void run_record_traffic(struct run_record *r); /* the present totals, as of the last point */
void run_record_idle(struct run_record *r);
void run_record_keys(struct run_record *r);
void run_record_span(struct run_record *r, const struct run_span *span);
void run_record_sample(struct run_record *r, const char *prompt, const char *sample);

/* Last validation loss, or NAN; bytes on the links between stages; and the measured ratio, 0
 * when nothing was sent. */
double run_record_valid_loss(const struct run_record *r);
struct run_traffic run_record_between_stages(const struct run_record *r);
double run_record_ratio(const struct run_record *r);

#endif
