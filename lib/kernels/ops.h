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
  PLR_OP_BIAS,         /* plr_bias_args */
  PLR_OP_BIAS_BWD,     /* plr_bias_args */
  PLR_OP_MUL,          /* plr_add_args: y = a * b; y may be a or b */
  PLR_OP_SCALE,        /* plr_scale_args */
  PLR_OP_ACT,          /* plr_act_args */
  PLR_OP_ACT_BWD,      /* plr_act_args */
  PLR_OP_LAYERNORM,    /* plr_layernorm_args */
  PLR_OP_LAYERNORM_BWD, /* plr_layernorm_args */
  PLR_OP_ROUTE,        /* plr_route_args: mixture of experts, choice of experts */
  PLR_OP_ROUTE_BWD,    /* plr_route_args */
  PLR_OP_DISPATCH,     /* plr_dispatch_args: rows to the order of their experts */
  PLR_OP_DISPATCH_BWD, /* plr_dispatch_args */
  PLR_OP_COMBINE,      /* plr_combine_args: rows back, weighted */
  PLR_OP_COMBINE_BWD,  /* plr_combine_args */
  PLR_OP_EXPERT_MATMUL, /* plr_expert_matmul_args */
  PLR_OP_NADAM,        /* plr_optimizer_args */
  PLR_OP_SGDM,         /* plr_optimizer_args */
  PLR_OP_ADAMW_ROW,    /* plr_optimizer_args: second moment constant along one side */
  PLR_OP_MUON,         /* plr_optimizer_args */
  PLR_OP_ATTENTION_CACHE, /* plr_attention_cache_args: queries of several sessions over their caches */
  PLR_OP_WEIGHT_PACK,  /* plr_packed_args: fp32 weights to a storage format for serving */
  PLR_OP_PACKED_MATMUL, /* plr_packed_args */
  PLR_OP_PACKED_EMBED, /* plr_packed_args: rows of a packed table */
  PLR_OP_BF16_PACK,    /* plr_bf16_args: bf16 = from_f32, rounded */
  PLR_OP_BF16_UNPACK,  /* plr_bf16_args: f32 = from_bf16, exactly */
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

/* y[r][i] = x[r][i] + bias[i]; y may be x. Backward: dbias[i] = dbias[i] + dy[r][i], rows in increasing order. */
typedef struct plr_bias_args {
  const float *x, *bias;
  float *y;
  const float *dy;
  float *dbias;
  int64_t rows, d;
} plr_bias_args;

/* y = x * by, n elements; y may be x. */
typedef struct plr_scale_args {
  const float *x;
  float *y;
  int64_t n;
  float by;
} plr_scale_args;

/* y = f(x), n elements; y may be x. Backward: dx = dy * f'(x); dx may be dy or x. */
#define PLR_ACT_SILU 1u
#define PLR_ACT_GELU 2u      /* 0.5 x (1 + erf(x / sqrt 2)) */
#define PLR_ACT_GELU_TANH 3u /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
#define PLR_ACT_RELU2 4u     /* max(x, 0)^2 (So et al. 2021) */
typedef struct plr_act_args {
  const float *x;
  float *y;
  const float *dy;
  float *dx;
  int64_t n;
  uint32_t kind;
} plr_act_args;

/* y = (x - mean) * inv_std * gain + bias, inv_std = 1 / sqrt(mean((x - mean)^2) + eps); mean and inv_std (rows) are
 * kept for backward. gain NULL = ones, bias NULL = none. Backward: dx (+)= gradient, dgain and dbias continue their
 * chains over rows (NULL when absent). dx may be dy. */
typedef struct plr_layernorm_args {
  const float *x, *gain, *bias;
  float *y, *mean, *inv_std;
  const float *dy;
  float *dx, *dgain, *dbias;
  int64_t rows, d;
  float eps;
  uint32_t accumulate_dx;
} plr_layernorm_args;

/* ---- mixture of experts. P = rows * top_k pairs (row, choice); pair index = row * top_k + choice. ------------- */

/* Chooses experts. p = softmax(logits row) over `experts`; the top_k largest logits (ties: lowest index) in descending
 * order give ids (rows x top_k) and gates (rows x top_k) = their p, divided by their sum when renormalise.
 * Then pairs are sorted by (expert, row): slot_of[pair] is the pair's slot, pair_of[slot] the inverse, and
 * offsets[e] .. offsets[e+1] the slots of expert e (experts + 1 entries, offsets[experts] = P).
 * Backward: dlogits (written) from dgates, plus the gradient of the load-balancing loss (Fedus et al. 2021, per
 * sequence): balance * experts * sum_e f_e * mean_rows(p_e), where f_e = share of the sequence's pairs sent to e is a
 * constant. `balance` is the manifest's coefficient divided by the number of sequences of the step. It reads ids and
 * gates too. */
typedef struct plr_route_args {
  const float *logits;
  int32_t *ids, *slot_of, *pair_of, *offsets;
  float *gates;
  const float *dgates;
  float *dlogits;
  int64_t batch, seq, experts, top_k;
  float balance;
  uint32_t renormalise;
  void *work;
} plr_route_args;

/* y[slot] = x[pair_of[slot] / top_k]: P rows from `rows` rows of d. Backward: dx[r] = the sum over choices in
 * increasing order of dy[slot_of[r * top_k + choice]], starting with the first; written. */
typedef struct plr_dispatch_args {
  const float *x;
  float *y;
  const float *dy;
  float *dx;
  const int32_t *slot_of, *pair_of;
  int64_t rows, top_k, d;
} plr_dispatch_args;

/* y[r] = chain over choices in increasing order of (gates[r][c], x[slot_of[r * top_k + c]]).
 * Backward: dx[slot] = gate * dy[row] and dgates[r][c] = lanes sum of dy[r] . x[slot], both written. */
typedef struct plr_combine_args {
  const float *x, *gates;
  float *y;
  const float *dy;
  float *dx, *dgates;
  const int32_t *slot_of;
  int64_t rows, top_k, d;
} plr_combine_args;

/* A matrix product for each expert's run of slots (offsets as in plr_route_args, rows = P in all), every element one
 * chain as in MATMUL. b holds `experts` matrices one after the other.
 * NN: c[slot] (n) = a[slot] (k) B_e (k x n).  NT: B_e is n x k.
 * TN: c is `experts` matrices (k x n): C_e (+)= A_e^T B_e with a (P x k) and b (P x n); accumulate continues the
 * chains (an expert without slots keeps C_e, or gets +0 when not accumulating). */
typedef struct plr_expert_matmul_args {
  const float *a, *b;
  float *c;
  const int32_t *offsets;
  int64_t rows, experts, n, k;
  uint32_t layout; /* PLR_MATMUL_* */
  uint32_t accumulate;
  void *work;
} plr_expert_matmul_args;

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

/* cos/sin (positions x head_dim/2), angle = (first_position + p) * f_i with f_i = theta^(-2i/head_dim), computed in
 * fp64. scaling changes f_i, and with YaRN the table is multiplied by an attention factor; original = positions the
 * model was first trained for. LINEAR: f_i / factor. LLAMA3: wavelengths above original / low_freq are divided by
 * factor, those below original / high_freq kept, between them a linear blend. YARN (Peng et al., arXiv 2309.00071):
 * ramp between the dimensions of beta_fast and beta_slow rotations; table times attention_factor. */
#define PLR_ROPE_PLAIN 0u
#define PLR_ROPE_LINEAR 1u
#define PLR_ROPE_LLAMA3 2u
#define PLR_ROPE_YARN 3u
typedef struct plr_rope_table_args {
  float *cos, *sin;
  int64_t positions, first_position, head_dim;
  double theta;
  double factor, low_freq, high_freq, beta_fast, beta_slow, attention_factor;
  int64_t original;
  uint32_t scaling;
  uint32_t reserved;
} plr_rope_table_args;

/* In place on x (rows x heads*head_dim, leading dimension ldx); half-split pairs (i, i + head_dim/2); position of row
 * r is r % seq, or positions[r] when that is not NULL: an entry of the table, which the caller has checked. sign +1
 * rotates, -1 rotates back. */
typedef struct plr_rope_args {
  float *x;
  const float *cos, *sin;
  int64_t rows, seq, heads, head_dim, ldx;
  float sign;
  const int32_t *positions;
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
  uint32_t window; /* query t sees keys t - window + 1 .. t; 0 = all earlier ones */
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
 * When with_grad, logits become scale * (softmax - onehot). z_loss adds z_loss * (log sum exp)^2 (PaLM) to the gradient
 * and not to the loss that is reported, which stays the cross-entropy. */
typedef struct plr_xent_args {
  float *logits;
  const int32_t *labels;
  float *loss;
  int64_t rows, vocab;
  float scale;
  uint32_t with_grad;
  float z_loss;
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

/* One pass of another optimizer over a tensor rows x cols; g is read as g * grad_scale. What each reads:
 *   NADAM     w m v   mu_next = mu(t+1), mu_now = mu(t), correction1 = 1 - prod mu up to t, correction1_next = up to
 *                     t+1, correction2 = 1 - beta2^t; decoupled weight decay (TRAINING notes, Dozat 2016)
 *   SGDM      w m     m = beta1 m + g; w -= lr * (m + decay w)
 *   ADAMW_ROW w m v   v has one entry a row (along = 0) or a column (along = 1) of w: mean of g^2 over the other side
 *   MUON      w m     m = beta1 m + g; w -= lr * (s * orth(g + beta1 m) + decay w), five Newton-Schulz steps
 *                     (Jordan et al. 2024) with exact products, s = max(1, rows / cols)^(1/2); eps is added to the
 *                     norm it divides by; work
 * g may not be one of the others. */
typedef struct plr_optimizer_args {
  float *w, *m, *v;
  const float *g;
  int64_t rows, cols;
  float lr, beta1, beta2, eps, weight_decay, grad_scale;
  float mu_now, mu_next, correction1, correction1_next, correction2;
  uint32_t along;
  void *work;
} plr_optimizer_args;

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

/* ---- storage ----------------------------------------------------------------------------------------------- */

/* n values between fp32 and bf16; each operation uses its own two of the pointers. */
typedef struct plr_bf16_args {
  float *f32;
  uint16_t *bf16;
  const float *from_f32;
  const uint16_t *from_bf16;
  int64_t n;
} plr_bf16_args;

/* ---- serving ----------------------------------------------------------------------------------------------- */

/* Elements of one session's cache in one attention layer. Keys: [kv_head][position / 16][head_dim][16], values:
 * [kv_head][head_dim / 16, rounded up][position][16]: sixteen neighbours lie together where a product has its
 * outputs. capacity is a multiple of 16. */
static inline int64_t plr_cache_keys(int64_t kv_heads, int64_t head_dim, int64_t capacity) {
  return kv_heads * capacity * head_dim;
}
static inline int64_t plr_cache_values(int64_t kv_heads, int64_t head_dim, int64_t capacity) {
  return kv_heads * ((head_dim + 15) / 16) * capacity * 16;
}

/* Rows [row, row + rows) of a batch are positions first .. first + rows - 1 of the session whose cache this is. */
typedef struct plr_cache_rows {
  float *k, *v; /* device memory */
  int64_t capacity;
  int64_t row, rows, first;
} plr_cache_rows;

/* Attention of the rows of several sessions. First each row's k and v go to its cache; then query t of a session
 * attends to positions 0 .. t of it, as in ATTENTION, from the cache. groups lies in host memory; a session occurs
 * once. */
typedef struct plr_attention_cache_args {
  const float *q, *k, *v;
  float *out;
  const plr_cache_rows *groups;
  int64_t group_count;
  int64_t heads, kv_heads, head_dim;
  int64_t ldq, ldk, ldv, ldo;
  float scale;
  uint32_t window; /* as in plr_attention_args */
  void *work;
} plr_attention_cache_args;

/* Weights in a storage format for serving: a matrix of n outputs x k inputs, in panels of 32 outputs (the last one
 * filled with zeros). Within a panel, k increases:
 *   BF16   for each k 16 pairs of bf16, of outputs j and j + 16
 *   Q8     for each group of 32 k: 32 bf16 scales, then two halves of 16 outputs; a half is 8 times [16 outputs][4 k]
 *          bytes, a byte being q + 128
 *   Q4     the same with a half 4 times [16 outputs][4 k]: low four bits are q + 8 of the first 4 k of a run of 8, the
 *          high four bits of the second 4
 * k that are missing in the last group have q = 0. */
#define PLR_PACK_BF16 1u
#define PLR_PACK_Q8 2u
#define PLR_PACK_Q4 3u
#define PLR_PACK_GROUP 32
#define PLR_PACK_PANEL 32
#define PLR_PACK_MOST 4 /* matrices that may share an input */

static inline int64_t plr_packed_panel(uint32_t format, int64_t k) { /* bytes */
  int64_t groups = (k + PLR_PACK_GROUP - 1) / PLR_PACK_GROUP;
  if (format == PLR_PACK_BF16) return k * PLR_PACK_PANEL * 2;
  return groups * PLR_PACK_PANEL * (2 + (format == PLR_PACK_Q8 ? PLR_PACK_GROUP : PLR_PACK_GROUP / 2));
}
static inline int64_t plr_packed_size(uint32_t format, int64_t n, int64_t k) {
  return (n + PLR_PACK_PANEL - 1) / PLR_PACK_PANEL * plr_packed_panel(format, k);
}

/* WEIGHT_PACK: packed = from (layout NN: k x n; NT: n x k), n outputs; packed is 64-byte aligned, packed_size bytes.
 * PACKED_MATMUL: c[i] (rows x n[i]) = x (rows x k, ldx) times matrix w[i], i < count; all have the same k and format.
 * PACKED_EMBED: c[0][r] = the k numbers of output ids[r] of w[0] (n[0] outputs), widened to fp32. */
typedef struct plr_packed_args {
  uint32_t format; /* PLR_PACK_* */
  uint32_t count;
  const void *w[PLR_PACK_MOST];
  float *c[PLR_PACK_MOST];
  int64_t n[PLR_PACK_MOST];
  const float *x;
  const int32_t *ids;
  int64_t rows, k, ldx;
  const float *from;
  void *packed;
  uint32_t layout;
  uint32_t reserved;
  void *work;
} plr_packed_args;

#endif
