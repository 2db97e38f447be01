/* Quantisers that others put on the wire, written here from their papers and formats, for comparison: each gives what
 * the receiver would hold, and how many bits a value it sends. */
#ifndef CODEC_PEERS_H
#define CODEC_PEERS_H

#include <stddef.h>
#include <stdint.h>

typedef struct peer {
  const char *name, *source;
  /* Reconstructs rows x cols values; returns bits a value, all bytes counted. */
  double (*run)(const float *x, float *y, size_t rows, size_t cols, double parameter);
  double parameter;
  double expected_db; /* on N(0,1), as notes and papers have it; 0 = depends on the shape */
} peer;

extern const peer codec_peers[];
extern const size_t codec_peer_count;

#endif
