/* The operations a device runs, in plain C so that the CPU kernels, the executor and a device plugin share them.
 *
 * Every pointer is device memory owned by the caller; matrices are row-major fp32 unless said otherwise; leading
 * dimensions (ld*) are in elements. N = batch * seq token rows, row r = b * seq + t. What each output's bits are
 * is written in EXACT.md; here is only what is computed. An output never overlaps an input unless it says so.
 * `work` is scratch of at least plr__op_workspace() bytes, 64-byte aligned; its contents mean nothing between calls.
 *
 * Row-vector convention: y = x W, W is (inputs x outputs).
 */
#ifndef PLR_KERNELS_OPS_H
#define PLR_KERNELS_OPS_H

#include <stddef.h>
#include <stdint.h>

typedef enum plr_op_id {
  PLR_OP_FILL = 1,     /* plr_fill_args */
  PLR_OP_ADD,          /* plr_add_args */
  PLR_OP_ROW_ADD,      /* plr_row_add_args */
  PLR_OP_MATMUL,       /* plr_matmul_args */
  PLR_OP_RMSNORM,      /* plr_rmsnorm_args */
  PLR_OP_RMSNORM_BWD,  /* plr_rmsnorm_args */
  PLR_OP_ROPE_TABLE,   /* plr_rope_table_args */
  PLR_OP_ROPE,         /* plr_rope_args: forward with sign +1, backward with sign -1 */
  PLR_OP_ATTENTION,    /* plr_attention_args */
  PLR_OP_ATTENTION_BWD, /* plr_attention_args */
  PLR_OP_SWIGLU,       /* plr_swiglu_args */
  PLR_OP_SWIGLU_BWD,   /* plr_swiglu_args */
  PLR_OP_EMBED,        /* plr_embed_args */
  PLR_OP_EMBED_BWD,    /* plr_embed_args */
  PLR_OP_XENT,         /* plr_xent_args: loss rows and, in place, the gradient of the logits */
  PLR_OP_SUMSQ,        /* plr_sumsq_args */
  PLR_OP_ADAMW,        /* plr_adamw_args */
  PLR_OP_GAUSSIAN,     /* plr_gaussian_args */
  PLR_OP_QUANTISE,     /* plr_quantise_args */
  PLR_OP_DEQUANTISE,   /* plr_quantise_args */
  PLR_OP_COUNT
} plr_op_id;

typedef struct plr_fill_args {
  float *y;
  int64_t n;
  float value;
} plr_fill_args;

/* y = a + b, n elements; y may be a or b. */
typedef struct plr_add_args {
  const float *a, *b;
  float *y;
  int64_t n;
} plr_add_args;

/* y[r] = x[r] + sign * table[id[r]]; table (vocab x d), sign +1 or -1; y may be x. Used for the token anchor. */
typedef struct plr_row_add_args {
  const float *x, *table;
  const int32_t *ids;
  float *y;
  int64_t rows, vocab, d;
  float sign;
} plr_row_add_args;

/* C (m x n) = op(A) op(B), one FMA chain over increasing k per element; accumulate continues the chain from C.
 * NN: A m x k, B k x n.  NT: B is n x k.  TN: A is k x m. */
#define PLR_MATMUL_NN 0u
#define PLR_MATMUL_NT 1u
#define PLR_MATMUL_TN 2u
typedef struct plr_matmul_args {
  const float *a, *b;
  float *c;
  int64_t m, n, k;
  int64_t lda, ldb, ldc;
  uint32_t layout;
  uint32_t accumulate;
  void *work;
} plr_matmul_args;

/* y = x * inv_rms * gain, inv_rms[r] = 1 / sqrt(mean(x[r]^2) + eps), kept for backward. gain NULL = ones.
 * Backward: dx (+)= gradient (accumulate_dx adds to what dx holds: the residual branch), dgain continues its chain
 * over rows; dgain NULL when there is no gain. dx may be dy. */
typedef struct plr_rmsnorm_args {
  const float *x, *gain;
  float *y, *inv_rms;
  const float *dy;
  float *dx, *dgain;
  int64_t rows, d;
  float eps;
  uint32_t accumulate_dx;
} plr_rmsnorm_args;

/* cos/sin (positions x head_dim/2), angle = (first_position + p) * theta^(-2i/head_dim), computed in fp64. */
typedef struct plr_rope_table_args {
  float *cos, *sin;
  int64_t positions, first_position, head_dim;
  double theta;
} plr_rope_table_args;

/* In place on x (rows x heads*head_dim, leading dimension ldx); half-split pairs (i, i + head_dim/2); position of row
 * r is r % seq, an index into the table. sign +1 rotates, -1 rotates back. */
typedef struct plr_rope_args {
  float *x;
  const float *cos, *sin;
  int64_t rows, seq, heads, head_dim, ldx;
  float sign;
} plr_rope_args;

/* Causal attention with grouped queries; query head h reads key/value head h / (heads / kv_heads).
 * q (rows x heads*head_dim, ldq), k and v (rows x kv_heads*head_dim, ldk, ldv), out (rows x heads*head_dim, ldo).
 * row_max, row_sum (batch x heads x seq) are kept for backward. The seq x seq matrix is never stored.
 * Backward needs dout (ldo), out, row_max, row_sum; writes (not adds) dq (ldq), dk (ldk), dv (ldv). */
typedef struct plr_attention_args {
  const float *q, *k, *v;
  float *out, *row_max, *row_sum;
  const float *dout;
  float *dq, *dk, *dv;
  int64_t batch, seq, heads, kv_heads, head_dim;
  int64_t ldq, ldk, ldv, ldo;
  float scale;
  void *work;
} plr_attention_args;

/* h = silu(gate) * up. gate and up (rows x f) share the leading dimension ldg (they may be halves of one matrix);
 * h and dh are contiguous (rows x f). Backward writes dgate, dup (ldg) from dh; dgate may be gate, dup may be up. */
typedef struct plr_swiglu_args {
  const float *gate, *up;
  float *h;
  const float *dh;
  float *dgate, *dup;
  int64_t rows, f, ldg;
} plr_swiglu_args;

/* y[r] = table[id[r]] (vocab x w). Backward: dtable[id[r]] += dy[r], a chain over increasing r. */
typedef struct plr_embed_args {
  const float *table;
  const int32_t *ids;
  float *y;
  const float *dy;
  float *dtable;
  int64_t rows, vocab, w;
} plr_embed_args;

/* loss[r] = log(sum exp(logits[r])) - logits[r][label]; a label < 0 is ignored (loss 0, gradient 0).
 * When with_grad, logits become scale * (softmax - onehot). */
typedef struct plr_xent_args {
  float *logits;
  const int32_t *labels;
  float *loss;
  int64_t rows, vocab;
  float scale;
  uint32_t with_grad;
} plr_xent_args;

/* out[0] = sum of squares of x, in fp64 by the 16-lane rule. out[1] = 1.0 when every element is finite, else 0.0. */
typedef struct plr_sumsq_args {
  const float *x;
  double *out;
  int64_t n;
} plr_sumsq_args;

/* Decoupled AdamW (Loshchilov & Hutter 2019) on n elements; g is read as g * grad_scale (clipping). correction1 and
 * correction2 are 1 - beta1^t and 1 - beta2^t. */
typedef struct plr_adamw_args {
  float *w, *m, *v;
  const float *g;
  int64_t n;
  float lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale;
} plr_adamw_args;

/* y (rows x cols) = mean 0 normals times std; element (r, i) depends on (seed, stream, first_row + r, i) only. */
typedef struct plr_gaussian_args {
  float *y;
  int64_t rows, cols, first_row;
  uint64_t seed;
  uint32_t stream;
  float std;
} plr_gaussian_args;

/* Block integers as the exchange's frames have them (lib/exchange/FRAME.md): n values in groups that share a bf16 scale
 * (two little-endian bytes), bits 8 or 4, two 4-bit values a byte, the first in the low half. group is even.
 * quantise reads x, writes scales and q, and adds 1 to the bits of not_finite (which starts at 0) when a value
 * is not finite; what it then wrote means nothing. dequantise reads scales and q, and writes y. Of devices with
 * memory of their own: on the CPU the exchange does this while it packs a frame. */
typedef struct plr_quantise_args {
  const float *x;
  float *y;
  uint8_t *scales, *q;
  uint32_t *not_finite;
  int64_t n;
  uint32_t group, bits;
} plr_quantise_args;

#endif
