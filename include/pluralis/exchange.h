/* libpluralis: compressed activation exchange: a tensor becomes a frame of few bytes, and back.
 *
 * A codec is four choices: predict -> transform -> quantise -> entropy-code. A frame says which in its 64-byte
 * header (lib/exchange/FRAME.md), so a decoder needs no options and a peer may only decode. Frames are byte-identical
 * on every machine.
 *
 *   plr_codec c;  plr_codec_from_name("int4+zstd", &c);
 *   plr_encoder_create(ctx, &c, max_rows, max_cols, &enc, NULL);
 *   plr_encoder_encode(enc, &info, &x, buf, cap, &n);        n bytes go over the wire
 *   plr_decoder_decode(dec, buf, n, &y, &info, NULL);
 */
#ifndef PLURALIS_EXCHANGE_H
#define PLURALIS_EXCHANGE_H

#include <pluralis/base.h>
#include <pluralis/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a frame's header, without its extensions. */
#define PLR_FRAME_HEADER 64u

/* Roles of a frame. */
#define PLR_ROLE_ACTIVATION 1u
#define PLR_ROLE_GRADIENT 2u
#define PLR_ROLE_TOKENS 3u
#define PLR_ROLE_DELTA 4u
#define PLR_ROLE_STATE 5u
#define PLR_ROLE_CONTROL 6u

/* Ids of a codec's parts, as in frames; never reused. */
#define PLR_PREDICT_NONE 0u
#define PLR_PREDICT_SAMPLE 1u /* what the same sample decoded to when it came last; not of RAW */
#define PLR_PREDICT_ANCHOR 2u /* mean of what rows of the same token decoded to; not of RAW */
#define PLR_TRANSFORM_IDENTITY 0u
#define PLR_TRANSFORM_HADAMARD 1u /* of each row, with signs from the seed; not of RAW */
#define PLR_TRANSFORM_BASIS 2u /* each row's coordinates in a basis that both sides were given; not of RAW */
#define PLR_TRANSFORM_DCT 3u   /* discrete cosine transform of blocks of 64 x 64; not of RAW */
#define PLR_QUANT_RAW 0u       /* dtype says F32, BF16 or F16 */
#define PLR_QUANT_BLOCK_INT 1u /* bits 2 to 8, one scale a group */
#define PLR_QUANT_UNIFORM 2u   /* nearest multiple of a step, cell means; PARAMETRIC */
#define PLR_QUANT_DITHER 3u    /* uniform with subtractive dither, which is unbiased; PARAMETRIC */
#define PLR_QUANT_TRELLIS 4u   /* sixteen-state dependent quantiser; PARAMETRIC */
#define PLR_QUANT_TOPK 5u      /* the largest of each 4096 values in two bits, zeros for the others; RICE */
#define PLR_QUANT_EDEN 6u      /* nearest centroids of a Gaussian, with an unbiased scale; of HADAMARD */
#define PLR_QUANT_MASK 7u      /* values of a keyed mask (plr_mask), raw or as block integers in groups of 32 */
#define PLR_ENTROPY_PACK 0u
#define PLR_ENTROPY_PARAMETRIC 1u /* range coder with Gaussian models scaled by token and channel */
#define PLR_ENTROPY_HISTOGRAM 2u /* of BLOCK_INT: integers range-coded by their frequencies in the chunk */
#define PLR_ENTROPY_RICE 3u /* of TOPK: gaps between places in Rice codes, values range-coded */
#define PLR_ENTROPY_SPLIT 4u /* of RAW: exponents range-coded, sign and mantissa as they are; lossless */
#define PLR_ENTROPY_ZSTD 5u /* byte-shuffled, then zstd */

/* What the step of the quantisers of PARAMETRIC codecs is relative to. */
#define PLR_STEP_GLOBAL 0u /* one step: least squared error over the tensor */
#define PLR_STEP_TOKEN 1u  /* step times the row's rms: equal relative error of every row */

/* The four choices of a codec. */
typedef struct plr_codec {
  uint8_t predict, transform, quant, entropy; /* ids of its parts, PLR_PREDICT_NONE and so on */
  uint8_t dtype; /* of the raw values: PLR_DTYPE_F32, PLR_DTYPE_BF16 or PLR_DTYPE_F16 */
  uint8_t bits;  /* of block integers; PARAMETRIC: about how many a value gets without a budget, 1 to 12;
                  * TOPK: 2; EDEN: 1 to 4; MASK: 2 to 8, or 0 for raw values; else 0 */
  uint16_t group; /* values a scale, block integers: 32, 64 or 128, EDEN: 128 or 1024; TOPK: values kept of each 4096,
                   * 32, 64 or 128; PARAMETRIC: PLR_STEP_*; MASK: plr_mask.masks; else 0 */
} plr_codec;

/* A codec by name: parts joined by '+', the first of which is
 *   raw, bf16, fp16      all bits, or rounded to bf16 or fp16
 *   int2 to int8         block integers, in groups of 32
 *   uniformB, ditherB, trellisB   about B bits a value, 1 to 12 (4 when B is left out), entropy-coded
 *   topk                 64 of each 4096 values in two bits, for deltas of weights with plr_feedback
 *   eden1 to eden4       EDEN after a Hadamard rotation, a scale for 1024 values; eden is eden4
 *   maskN                values that plr_mask_gather took with N masks, 1 to 65535; as they are, or by an option
 *                        bf16, int4 or int8
 * and the others, each at most once: zstd (raw, bf16, fp16, int), split (raw, bf16, fp16) or histogram (int); g32, g64,
 * g128 (int; topk: of each 4096; eden: g128); token (a step for each row's rms; uniform, dither, trellis); hadamard,
 * basis or dct (int, uniform, dither, trellis); sample or anchor (all but raw, bf16, fp16 and mask). NOT_FOUND for
 * anything else. Since 0.1. */
PLR_API plr_status plr_codec_from_name(const char *name, plr_codec *out);

/* What a frame says of itself. For tensors shape is rows x cols; tokens: rows x cols ids below `vocab`; control:
 * rows = 1, cols = payload bytes. struct_size: sizeof(plr_frame_info), or 0 for the size in 0.1. */
typedef struct plr_frame_info {
  uint32_t struct_size;
  uint32_t role;        /* PLR_ROLE_* */
  uint32_t stream;      /* chosen by the host; a stage uses the number of the boundary */
  uint32_t step, micro_batch; /* chosen by the host; a stage uses those of the training step */
  uint32_t generation;  /* of basis and predictions; 0 when stateless */
  uint64_t seed;        /* of codecs with a key; the others carry it unread */
  uint32_t rows, cols;  /* shape, see above */
  uint32_t vocab;       /* tokens only */
  uint32_t chunks;      /* pieces that are checked and decoded one by one; 0 when a streamed frame does not say */
  uint32_t payload_len; /* bytes after the header */
  plr_codec codec;      /* what the payload is coded in */
  uint32_t flags;       /* of predictors: PLR_FRAME_*; else 0 */
} plr_frame_info;

/* Flags of a frame with a predictor. KEY: nothing is predicted, and what either side holds for the frame's keys is
 * forgotten first; a host asks for it when a decoder answers SEQUENCE. PLAIN: nothing is predicted, as it would not
 * pay; the encoder says so by itself. */
#define PLR_FRAME_KEY 1u
#define PLR_FRAME_PLAIN 2u

/* Reads and checks the header, the extensions and the length of a whole frame (not the chunks' checksums).
 * Errors: TRUNCATED, MALFORMED, CHECKSUM, VERSION, UNSUPPORTED (an id or a critical extension this build does not
 * know), LIMIT. err->offset is the byte. Threads: any. Since 0.1. */
PLR_API plr_status plr_frame_parse(plr_context *ctx, const void *frame, size_t len, plr_frame_info *info,
                                   plr_error *err);

/* Tensors to frames, and back; each keeps the scratch memory it needs. */
typedef struct plr_encoder plr_encoder;
typedef struct plr_decoder plr_decoder;

/* An encoder for tensors up to max_rows x max_cols; all its memory is taken here. Errors: UNSUPPORTED, LIMIT,
 * INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_encoder_create(plr_context *ctx, const plr_codec *codec, uint32_t max_rows, uint32_t max_cols,
                                      plr_encoder **out, plr_error *err);
PLR_API void plr_encoder_destroy(plr_encoder *encoder);

/* Largest frame this encoder can make, in bytes. Since 0.1. */
PLR_API size_t plr_encoder_bound(const plr_encoder *encoder);

/* Encodes x (rows x cols; F32, BF16 or F16; any strides) into out. info gives role (activation, gradient, delta or
 * state), stream, step, micro_batch, seed; the rest is filled in by the encoder. Allocates as little as decode.
 * Errors: INVALID_ARGUMENT, SHAPE, BUFFER_TOO_SMALL (*len = the bound, which is always enough), NON_FINITE (lossy
 * codecs; bf16 and fp16 also for what rounds to infinity; PARAMETRIC also for rows whose sum of squares reaches
 * 2^200), LIMIT (budget and floor, below). Since 0.1. */
PLR_API plr_status plr_encoder_encode(plr_encoder *encoder, const plr_frame_info *info, const plr_tensor *x,
                                      void *out, size_t cap, size_t *len);

/* The same frame in pieces, the first of which can leave before the last is coded. begin looks at all of x, whose
 * memory has to stay as it is until the last piece; next writes the next piece, one chunk (the first with the
 * header before it), and says how many rows are left: with 0 the frame is complete. Pieces in order are the frame
 * that encode makes, but that the header of all but PACK codecs leaves its length open. Another begin, an encode
 * or any of the set and reset calls below gives the frame up. Errors: as of encode; next also INVALID_STATE (no
 * frame was begun), BUFFER_TOO_SMALL (*len = what this piece needs; nothing has changed). A frame that fails after
 * its first piece is lost: the peer's decoder waits for rows that do not come. Since 0.1. */
PLR_API plr_status plr_encoder_begin(plr_encoder *encoder, const plr_frame_info *info, const plr_tensor *x);
PLR_API plr_status plr_encoder_next(plr_encoder *encoder, void *out, size_t cap, size_t *len, uint32_t *rows_left);

/* Memory of a codec with a predictor: what at most `entries` keys (samples or tokens) decoded to, of at most
 * `rows` rows each (1 for ANCHOR), two bytes a value; the key that was used longest ago makes room. Both ends need
 * the same numbers. All memory is taken here, and what was known is forgotten. Errors: INVALID_ARGUMENT,
 * UNSUPPORTED (no predictor), LIMIT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_encoder_set_store(plr_encoder *encoder, uint32_t entries, uint32_t rows);

/* What the rows of the next frame belong to, before each frame of a codec with a predictor: ids of samples, each
 * of rows / count rows in order, or for ANCHOR the token id of each row. They travel in the frame. Errors:
 * INVALID_ARGUMENT, UNSUPPORTED, INVALID_STATE (no store). encode and begin answer INVALID_STATE without keys,
 * SHAPE when count does not divide the rows. Since 0.1. */
PLR_API plr_status plr_encoder_set_keys(plr_encoder *encoder, const uint64_t *keys, uint32_t count);

/* Forgets all predictions; frames from now on carry `generation`, another than before, with the first of which the
 * decoder forgets its own. For a new decoder, or one that lost much; after one lost frame a key frame
 * (PLR_FRAME_KEY in info->flags) is enough. Codecs with a basis: set_basis does this. Errors: INVALID_ARGUMENT,
 * UNSUPPORTED. Since 0.1. */
PLR_API plr_status plr_encoder_reset(plr_encoder *encoder, uint32_t generation);

/* The basis of a BASIS codec: a matrix of cols x rank (F32, BF16 or F16, copied), whose columns the host keeps
 * orthonormal. A row x of a frame is sent as x basis, and becomes (x basis) basis^T. Frames carry `generation`;
 * predictions are forgotten. INVALID_STATE answers a frame without a basis, SHAPE one of another width. Errors:
 * INVALID_ARGUMENT, UNSUPPORTED, SHAPE, NON_FINITE, NO_MEMORY; nothing has changed then. Since 0.1. */
PLR_API plr_status plr_encoder_set_basis(plr_encoder *encoder, const plr_tensor *basis, uint32_t generation,
                                         plr_error *err);

/* Rate of a PARAMETRIC codec; UNSUPPORTED for the others, whose size is fixed. Without a budget and a target a
 * frame has about codec.bits bits a value. What is set holds for the frames encoded from then on; 0 takes it back.
 *
 * set_budget: no frame is longer than `bytes`, header and all, nor 2% shorter than it need be. encode answers
 * LIMIT if even zeros do not fit; nothing has changed then. A frame's bytes follow from tensor, info, codec and
 * what is set here: not from frames before it. Since 0.1. */
PLR_API plr_status plr_encoder_set_budget(plr_encoder *encoder, uint64_t bytes);

/* set_snr: target_db is the signal-to-noise ratio to aim at, with as few bits as that takes, and never more than the
 * budget; floor_db the one below which encode answers LIMIT rather than send what may not converge. Both 0 to 200 dB.
 * Since 0.1. */
PLR_API plr_status plr_encoder_set_snr(plr_encoder *encoder, double target_db, double floor_db);

/* What an encoder has done. Set struct_size before the call that fills it. */
typedef struct plr_encoder_stats {
  uint32_t struct_size, reserved;
  uint64_t frames, values, bytes; /* since it was made; headers counted */
  double signal_power, noise_power; /* PARAMETRIC: sums of squares of the last frame and of its error, else 0 */
} plr_encoder_stats;

/* Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_encoder_get_stats(const plr_encoder *encoder, plr_encoder_stats *out);

/* A decoder for frames of any codec up to max_rows x max_cols; all its memory is taken here. Errors: LIMIT,
 * INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_decoder_create(plr_context *ctx, uint32_t max_rows, uint32_t max_cols, plr_decoder **out,
                                      plr_error *err);
PLR_API void plr_decoder_destroy(plr_decoder *decoder);

/* Decodes a tensor frame into x, of the frame's shape; F32, or BF16 or F16 to be rounded to; strides may not let
 * two elements share memory. info may be NULL. On failure x's contents are unspecified and nothing else has
 * changed. Allocates nothing, but that transforms borrow scratch of a fixed size which the context keeps. Errors:
 * those of plr_frame_parse, SHAPE, LIMIT (larger than the decoder was made for), CHECKSUM (a chunk), NON_FINITE (a
 * lossy codec's scale or value). Since 0.1. */
PLR_API plr_status plr_decoder_decode(plr_decoder *decoder, const void *frame, size_t len, plr_tensor *x,
                                      plr_frame_info *info, plr_error *err);

/* The same of bytes as they come. begin: the next frame goes to x, which has to be of its shape, stay where it is
 * and keep what was written until the last row. feed takes bytes, any number; *used of them, all unless the frame
 * is complete; *rows: rows of x that are finished, from the first on; the frame is complete when these are all,
 * and the next one needs another begin. info (may be NULL) is filled once *rows is not 0. begin allocates at its
 * first call, feed nothing. After an error no frame is begun. Errors: those of decode, INVALID_STATE (no frame was
 * begun); begin: INVALID_ARGUMENT, SHAPE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_decoder_begin(plr_decoder *decoder, plr_tensor *x, plr_error *err);
PLR_API plr_status plr_decoder_feed(plr_decoder *decoder, const void *bytes, size_t len, size_t *used, uint32_t *rows,
                                    plr_frame_info *info, plr_error *err);

/* Memory for frames of a codec with a predictor, as of the encoder they come from (plr_encoder_set_store); such a
 * decoder takes frames of one encoder. UNSUPPORTED answers their frames without it, LIMIT those of more rows a
 * key, SEQUENCE those that build on other rows than the decoder has, because a frame was lost or came twice: the
 * host asks the sender for the tensor as a key frame; nothing has changed then. Errors: INVALID_ARGUMENT, LIMIT,
 * NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_decoder_set_store(plr_decoder *decoder, uint32_t entries, uint32_t rows);

/* The basis for frames of BASIS codecs, as plr_encoder_set_basis. MISMATCH answers frames of another generation or
 * shape. Since 0.1. */
PLR_API plr_status plr_decoder_set_basis(plr_decoder *decoder, const plr_tensor *basis, uint32_t generation,
                                         plr_error *err);

/* Error feedback for deltas of one tensor by a lossy codec (SparseLoCo, arXiv 2508.15706; F. Seide et al., 2014):
 * a frame carries s = decay * error + x, and error becomes s - decoded(s), in binary32, each operation rounded.
 * What is committed changes only when the frame was acknowledged: encode leaves the new error pending, commit
 * makes it the error (the frame arrived), rollback forgets it (it was refused; x has to be encoded again, with the
 * error as it was). Takes 8 bytes a value. Threads: one at a time. */
typedef struct plr_feedback plr_feedback;

/* An error of zeros for tensors of rows x cols; decay 0 to 1 (SparseLoCo: 0.95). Errors: INVALID_ARGUMENT, LIMIT,
 * NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_feedback_create(plr_context *ctx, uint32_t rows, uint32_t cols, float decay,
                                       plr_feedback **out, plr_error *err);
PLR_API void plr_feedback_destroy(plr_feedback *feedback);

/* As plr_encoder_encode; the decoder, one of no closed-loop state, is used for what the peer will have. INVALID_STATE
 * while a frame is pending, UNSUPPORTED when the codec has a predictor. On failure nothing is pending. Allocates
 * nothing. Errors: those of plr_encoder_encode and of plr_decoder_decode. Since 0.1. */
PLR_API plr_status plr_feedback_encode(plr_feedback *feedback, plr_encoder *encoder, plr_decoder *decoder,
                                       const plr_frame_info *info, const plr_tensor *x, void *out, size_t cap,
                                       size_t *len);

/* The pending frame arrived, or it did not. INVALID_STATE when none is pending. Since 0.1. */
PLR_API plr_status plr_feedback_commit(plr_feedback *feedback);
PLR_API plr_status plr_feedback_rollback(plr_feedback *feedback);

/* XXH3-64 of the committed error's bytes, for journals: two runs that agree on it send the same frames for the same
 * deltas. Since 0.1. */
PLR_API plr_status plr_feedback_hash(const plr_feedback *feedback, uint64_t *out);

/* The committed error itself, rows x cols F32, to be saved, or written to when it is restored and nothing is pending.
 * It is the feedback's, and valid until the next call that changes it. Since 0.1. */
PLR_API plr_status plr_feedback_tensor(plr_feedback *feedback, plr_tensor *out);

/* A keyed mask: the values of a tensor that one round of averaging takes (SPARTA, sparse parameter averaging, Beton et
 * al., 2025). In order of a permutation that the key gives, round r takes places r, r + masks, r + 2 masks ...: over
 * `masks` rounds every value once. Peers with the same mask need neither send nor store indices. A round of delta rule
 * averaging:
 *
 *   plr_mask_gather(&m, 0, w, v);           v to peers in frames of codec maskN: info.seed = key, info.step = round
 *   s = what the own frame decodes to;  average = the mean of s and of what the peers' frames decode to
 *   plr_mask_scatter_add(&m, 0, w, average, s);
 *
 * so that what training changed in the meantime stays. Fixed for ever; all functions: no memory, any thread. */
typedef struct plr_mask {
  uint64_t total; /* values of the tensor, 1 to 2^48 */
  uint64_t key;   /* the same for all peers; another for each tensor */
  uint32_t masks; /* 1 to 65535: parts that the tensor is cut into */
  uint32_t round; /* modulo masks */
} plr_mask;

/* How many values the mask takes. Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_mask_count(const plr_mask *mask, uint64_t *out);

/* Where values [first, first + count) of those lie, 0 to total - 1. Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_mask_indices(const plr_mask *mask, uint64_t first, uint64_t count, uint64_t *index);

/* Values from `first` on, as many as `values` (F32) holds, of w (F32, BF16 or F16); both contiguous, of any shape.
 * Errors: INVALID_ARGUMENT, SHAPE (w does not hold `total` values). Since 0.1. */
PLR_API plr_status plr_mask_gather(const plr_mask *mask, uint64_t first, const plr_tensor *w,
                                   const plr_tensor *values);

/* w += average - sent at those places, in binary32, then rounded to w's type. Errors: as of gather. Since 0.1. */
PLR_API plr_status plr_mask_scatter_add(const plr_mask *mask, uint64_t first, const plr_tensor *w,
                                        const plr_tensor *average, const plr_tensor *sent);

/* Token ids (rows x cols int32, each below vocab), packed to ceil(log2 vocab) bits, or zstd where that is smaller.
 * info gives stream, step, micro_batch, seed. *len: in the capacity of out, out the frame's length. Scratch is
 * kept in the context, so that repeated calls allocate nothing. Threads: any. Errors: INVALID_ARGUMENT, NO_MEMORY,
 * BUFFER_TOO_SMALL (*len = a size that is enough). Since 0.1. */
PLR_API plr_status plr_tokens_encode(plr_context *ctx, const plr_frame_info *info, const int32_t *tokens,
                                     uint32_t rows, uint32_t cols, uint32_t vocab, void *out, size_t *len);

/* Decodes a token frame into tokens, of which there is room for `capacity`; every id is below info->vocab. info
 * may be NULL. On failure the contents of tokens are unspecified. Threads: any. Errors: those of plr_frame_parse,
 * CHECKSUM, BUFFER_TOO_SMALL (more ids than capacity), NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_tokens_decode(plr_context *ctx, const void *frame, size_t len, int32_t *tokens,
                                     size_t capacity, plr_frame_info *info, plr_error *err);

/* Opaque bytes as a frame (role CONTROL). info gives stream, step, micro_batch, seed. *len: in the capacity of out,
 * out the frame's length. Threads: any. Errors: INVALID_ARGUMENT, BUFFER_TOO_SMALL (*len = the length). Since 0.1. */
PLR_API plr_status plr_control_encode(const plr_frame_info *info, const void *payload, uint32_t payload_len,
                                      void *out, size_t *len);

/* The payload of a control frame, which points into the frame. info may be NULL. Threads: any. Errors: those of
 * plr_frame_parse, CHECKSUM. Since 0.1. */
PLR_API plr_status plr_control_decode(plr_context *ctx, const void *frame, size_t len, const uint8_t **payload,
                                      uint32_t *payload_len, plr_frame_info *info, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
