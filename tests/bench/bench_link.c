/* A link in one process: both ends in one thread, frames in, events out. Sealed against libsodium's secretstream alone
 * (push and pull of the same bytes in pieces of the same size), in clear against memcpy, small frames, datagrams. */
#include "bench.h"

#include <pluralis/pluralis.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEN = 196608, FRAMES = 16, SMALL = 100, SMALL_FRAMES = 4096, PIECE = 16384, WIRE = 1 << 18 };

typedef struct rig {
  plr_context *ctx;
  plr_identity *id[2];
  plr_link *link[2];
  uint8_t *frame, *wire;
  size_t len;
  uint32_t frames, datagram;
  uint64_t now;
} rig;

static void must(plr_status st, const char *what) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_link: %s: %s\n", what, plr_status_message(st));
  exit(1);
}

/* One turn both ways; frames that arrived. In datagram mode time passes, for their pace hangs on it. */
static uint32_t turn(rig *r) {
  uint32_t got = 0;
  r->now = (uint64_t)(bench_seconds() * 1e9);
  for (int i = 0; i < 2; i++) {
    size_t n = 1;
    for (int k = 0; n && k < 64; k++) {
      plr_link_event e;
      const size_t cap = r->datagram ? r->datagram : WIRE;
      must(plr_link_transmit(r->link[i], r->now, r->wire, cap, &n), "transmit");
      if (n) must(plr_link_receive(r->link[1 - i], r->now, r->wire, n), "receive");
      while (plr_link_next_event(r->link[1 - i], &e) == PLR_OK) got += e.type == PLR_LINK_FRAME;
    }
    must(plr_link_advance(r->link[i], r->now), "advance");
  }
  return got;
}

static void start(rig *r, plr_context *ctx, uint32_t seal, uint32_t datagram, size_t len,
                  uint32_t frames) {
  memset(r, 0, sizeof *r);
  r->ctx = ctx, r->len = len, r->frames = frames, r->datagram = datagram;
  r->frame = bench_alloc((int64_t)len);
  r->wire = bench_alloc(WIRE);
  for (size_t i = 0; i < len; i++) r->frame[i] = (uint8_t)(i * 31 >> 3);
  for (uint32_t i = 0; i < 2; i++) {
    uint8_t seed[32] = {(uint8_t)(i + 1)};
    plr_link_options o;
    must(plr_identity_create(ctx, seed, &r->id[i], NULL), "identity");
    plr_link_options_init(&o, sizeof o);
    o.initiator = i == 0, o.seal = seal, o.datagram = datagram;
    o.timeout_ns = 0;
    randombytes_buf(o.nonce, sizeof o.nonce);
    must(plr_link_create(ctx, r->id[i], &o, &r->link[i], NULL), "link");
  }
  for (int i = 0; i < 8; i++) turn(r);
}

static void stop(rig *r) {
  for (int i = 0; i < 2; i++) {
    plr_link_destroy(r->link[i]);
    plr_identity_destroy(r->id[i]);
  }
  free(r->frame);
  free(r->wire);
}

static void carry(void *arg) {
  rig *r = arg;
  uint32_t sent = 0, got = 0;
  while (got < r->frames) {
    while (sent < r->frames && sent - got < 64 &&
           plr_link_send(r->link[0], r->frame, r->len, 1) == PLR_OK)
      sent++;
    got += turn(r);
  }
}

/* The same bytes through secretstream and nothing else. */
static void raw_stream(void *arg) {
  rig *r = arg;
  static crypto_secretstream_xchacha20poly1305_state push, pull;
  static uint8_t key[32] = {1}, header[24], out[PIECE];
  unsigned char tag;
  crypto_secretstream_xchacha20poly1305_init_push(&push, header, key);
  crypto_secretstream_xchacha20poly1305_init_pull(&pull, header, key);
  for (uint32_t f = 0; f < r->frames; f++)
    for (size_t at = 0; at < r->len; at += PIECE) {
      const size_t n = r->len - at < PIECE ? r->len - at : PIECE;
      crypto_secretstream_xchacha20poly1305_push(&push, r->wire, NULL, r->frame + at, n, NULL, 0,
                                                 0);
      if (crypto_secretstream_xchacha20poly1305_pull(&pull, out, NULL, &tag, r->wire, n + 17, NULL,
                                                     0) != 0)
        exit(1);
    }
}

/* The same bytes through the AEAD that seals datagrams, in datagrams. */
static void raw_aead(void *arg) {
  rig *r = arg;
  static uint8_t key[32] = {1}, nonce[24], out[PIECE];
  const size_t piece = r->datagram - 90;
  uint64_t number = 0;
  for (uint32_t f = 0; f < r->frames; f++)
    for (size_t at = 0; at < r->len; at += piece) {
      const size_t n = r->len - at < piece ? r->len - at : piece;
      memcpy(nonce + 16, &number, 8);
      number++;
      crypto_aead_xchacha20poly1305_ietf_encrypt(r->wire, NULL, r->frame + at, n, NULL, 0, NULL,
                                                 nonce, key);
      if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, r->wire, n + 16, NULL, 0,
                                                     nonce, key) != 0)
        exit(1);
    }
}

/* Once into the link, once onto the wire, once off it. */
static void raw_copy(void *arg) {
  rig *r = arg;
  static uint8_t *a, *b;
  if (!a) a = bench_alloc(LEN), b = bench_alloc(LEN);
  for (uint32_t f = 0; f < r->frames; f++) {
    memcpy(a, r->frame, r->len);
    memcpy(r->wire, a, r->len);
    memcpy(b, r->wire, r->len);
  }
}

static void measure(plr_context *ctx, const char *name, uint32_t seal, uint32_t datagram,
                    size_t len, uint32_t frames, bench_fn *peer, const char *peer_name) {
  rig r;
  bench_result b;
  start(&r, ctx, seal, datagram, len, frames);
  bench_pair pair = {
      .ours = carry, .peer = peer, .ours_arg = &r, .peer_arg = &r, .threads = 1, .seconds = 1.5};
  bench_run(&pair, &b);
  const double bytes = (double)len * frames;
  if (len == SMALL)
    bench_print(name, frames / b.ours * 1e-6, "M frames/s", NULL, 0, 0,
                "frames of %d bytes; best %.2f", SMALL, frames / b.ours_best * 1e-6);
  else
    bench_print(name, bytes / b.ours * 1e-9, "GB/s", peer_name, bytes / b.peer * 1e-9, b.ratio,
                "both ends in one thread, frames of %zu KiB; best %.2f, peer %.2f; FMA %.0f",
                len >> 10, bytes / b.ours_best * 1e-9, bytes / b.peer_best * 1e-9, b.fma);
  stop(&r);
}

int main(int argc, char **argv) {
  plr_context *ctx;
  bench_options(argc, argv);
  if (sodium_init() < 0) return 1;
  must(plr_context_create(NULL, &ctx, NULL), "context");
  measure(ctx, "link/sealed", 1, 0, LEN, FRAMES, raw_stream,
          "libsodium secretstream, 16 KiB pieces");
  measure(ctx, "link/clear", 0, 0, LEN, FRAMES, raw_copy, "memcpy, three times");
  measure(ctx, "link/small/sealed", 1, 0, SMALL, SMALL_FRAMES, NULL, NULL);
  measure(ctx, "link/small/clear", 0, 0, SMALL, SMALL_FRAMES, NULL, NULL);
  measure(ctx, "link/datagram/1400/sealed", 1, 1400, LEN, FRAMES, raw_aead,
          "libsodium XChaCha20-Poly1305, 1310 bytes");
  measure(ctx, "link/datagram/8900/sealed", 1, 8900, LEN, FRAMES, raw_aead,
          "libsodium XChaCha20-Poly1305, 8810 bytes");
  measure(ctx, "link/datagram/8900/clear", 0, 8900, LEN, FRAMES, raw_copy, "memcpy, three times");
  plr_context_destroy(ctx);
  return 0;
}
