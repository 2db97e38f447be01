/* A feeder and its stages on a simnet, with what their events said: what tests of a pipeline are written with. */
#ifndef PLR_SIM_PIPELINE_H
#define PLR_SIM_PIPELINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "simnet.h"

#include "base/base.h"

#define PIPE_MAX_STAGES 8u
#define PIPE_MAX_EVENTS 4096u
#define PIPE_ORIGIN     "example.org/sim"
#define SECOND          UINT64_C(1000000000)

typedef struct pipe_config {
  uint32_t stages;      /* 1, 2 or 4 */
  int subspace;         /* 0: dense */
  const char *codec;    /* both directions; "raw" */
  uint32_t auto_budget; /* bits follow bandwidth */
  uint32_t schedule;    /* PLR_PIPELINE_* */
  uint32_t newest;      /* async: backward with the newest weights, not those of the forward */
  uint32_t max_in_flight, window;
  uint32_t forget_receipts; /* they are not kept */
  double *time_jobs;        /* processor seconds of jobs are added here; NULL: they are not timed */
  uint32_t micro_batches; /* of the little model's step; 0: 4 */
  sim_wire wire;        /* all of them; seeds differ */
  uint64_t link_window; /* 0: default */
  uint64_t link_timeout_ns;
  uint64_t job_ns; /* of every job; a little longer the later the stage */
  uint32_t snapshot_every;
  uint64_t start_step;
  int threads;                     /* 1: every job runs on a thread of its own, beside the loop */
  const uint8_t *const *snapshots; /* one a stage, to start from; NULL: seeded weights */
  const size_t *snapshot_lens;
  const plr_context_options *context; /* NULL: defaults */
  const char *manifest;               /* JSON of another model than the little one; then subspace is not looked at */
  const char *text;                   /* another text, borrowed until close */
  size_t text_len;
} pipe_config;

typedef struct pipe_receipt {
  uint8_t *data;
  size_t len;
} pipe_receipt;

typedef struct pipe_snapshot {
  uint8_t *data;
  size_t len, cap;
} pipe_snapshot;

typedef struct pipeline {
  pipe_config config;
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_corpus *corpus;
  char *text;
  plr_identity *identity[PIPE_MAX_STAGES + 1]; /* the feeder's last */
  plr_shard *shard[PIPE_MAX_STAGES];
  plr_link *link[PIPE_MAX_STAGES + 1][2]; /* of each node, by side */
  plr_stage *stage[PIPE_MAX_STAGES + 1];
  sim_net *net;
  pthread_t thread[PIPE_MAX_STAGES];
  uint32_t feeder; /* its node: the number of stages */

  /* from events */
  double losses[PIPE_MAX_EVENTS];
  uint32_t steps, evals, tokens, generated, idle, entries;
  double eval;
  int32_t token[PIPE_MAX_EVENTS];
  plr_hash root;
  uint64_t root_step;
  uint32_t roots, stopped, failed, refused, ready;
  plr_hash stop_root;
  uint64_t stop_step;
  char failure[PIPE_MAX_STAGES + 1][256];
  int32_t failure_status[PIPE_MAX_STAGES + 1];
  char refusal[PIPE_MAX_STAGES + 1][320]; /* the last one this node made */
  char told[PIPE_MAX_STAGES + 1][320];    /* the last one it heard of */
  uint8_t entry[1024];
  size_t entry_len;
  pipe_receipt receipt[PIPE_MAX_EVENTS]; /* those the feeder got */
  uint32_t receipts;
  uint32_t worker_receipts[PIPE_MAX_STAGES];
  pipe_snapshot snapshot[PIPE_MAX_STAGES]; /* the newest */
  uint64_t snapshot_step[PIPE_MAX_STAGES];

  void (*before_complete)(struct pipeline *p, uint32_t node,
                          plr_job *job); /* to tamper with a job */
  void (*on_event)(struct pipeline *p, uint32_t node, const plr_stage_event *event);
  uint32_t want_idle;
} pipeline;

pipe_config pipe_defaults(uint32_t stages);
void pipe_open(pipeline *p, const pipe_config *config);
void pipe_close(pipeline *p);

/* The manifest of the little model these tests train. */
void pipe_manifest(char *out, size_t cap, int subspace);
/* Changes a part of a text that has room behind it. */
void pipe_replace(char *text, const char *from, const char *to);
/* A text with some structure, len bytes, to be freed. */
char *pipe_text(size_t len);

/* A snapshot in memory, to write and to read. */
plr_sink pipe_sink(pipe_snapshot *to);
plr_source pipe_source(pipe_snapshot *from);

/* Runs commands and waits for IDLE; fails the test when it does not come. */
void pipe_train(pipeline *p, uint64_t until);
void pipe_evaluate(pipeline *p, uint32_t batches);
void pipe_generate(pipeline *p, const int32_t *prompt, uint32_t len, uint32_t count,
                   float temperature);
void pipe_stop(pipeline *p);
/* Runs until `seconds` of virtual time have passed from now or nothing happens any more. */
void pipe_run_for(pipeline *p, double seconds);
void pipe_sort_receipts(pipeline *p);

/* The same training by a loop over one whole shard: losses of each step, root at the end, validation loss. */
typedef struct pipe_reference {
  double losses[64];
  plr_hash root;
  double eval;
  int32_t tokens[64];
} pipe_reference;
void pipe_reference_run(int subspace, uint64_t steps, uint32_t eval_batches, uint32_t generate,
                        float temperature, pipe_reference *out);

#define PIPE_GENERATE_SEED 77u
extern const int32_t pipe_prompt[5];

#endif
