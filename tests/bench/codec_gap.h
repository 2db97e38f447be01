/* The part of bench_codec that is about error and bits; the rest is about speed. */
#ifndef CODEC_GAP_H
#define CODEC_GAP_H

#include <pluralis/pluralis.h>

/* Synthetic tensors, and those of a folder of dumps (NULL: none). report: the HTML file to write, or NULL. */
void bench_codec_gap(plr_context *ctx, const char *dumps, const char *report);

/* Lossless bf16 beside zstd. */
void bench_codec_lossless(plr_context *ctx);

/* Deltas of weights: top-k, 4 bits with error feedback, keyed masks. */
void bench_codec_deltas(plr_context *ctx);

#endif
