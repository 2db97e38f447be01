/* Messages of a link: framing, hello, and what is signed. LINK.md is the norm. */
#include "exchange/link_int.h"

#include <string.h>

static const uint8_t magic[4] = {'P', 'L', 'R', 'L'};
static const char where[] = "link hello";

/* Bit i: id i is known to this build. */
static const uint32_t known_ids[4] = {
    1u << PLR_PREDICT_NONE | 1u << PLR_PREDICT_SAMPLE | 1u << PLR_PREDICT_ANCHOR,
    1u << PLR_TRANSFORM_IDENTITY | 1u << PLR_TRANSFORM_HADAMARD | 1u << PLR_TRANSFORM_BASIS |
        1u << PLR_TRANSFORM_DCT,
    1u << PLR_QUANT_RAW | 1u << PLR_QUANT_BLOCK_INT | 1u << PLR_QUANT_UNIFORM |
        1u << PLR_QUANT_DITHER | 1u << PLR_QUANT_TRELLIS | 1u << PLR_QUANT_TOPK |
        1u << PLR_QUANT_EDEN | 1u << PLR_QUANT_MASK,
    1u << PLR_ENTROPY_PACK | 1u << PLR_ENTROPY_PARAMETRIC | 1u << PLR_ENTROPY_HISTOGRAM |
        1u << PLR_ENTROPY_RICE | 1u << PLR_ENTROPY_SPLIT | 1u << PLR_ENTROPY_ZSTD};
static const char *const part_names[4] = {"predictors", "transforms", "quantisers",
                                          "entropy coders"};

uint32_t plr__message_crc(const uint8_t header[5], const void *body, size_t len) {
  return plr__crc32c(plr__crc32c(0, header, 5), body, len);
}

size_t plr__message_write(uint8_t *out, uint32_t type, const void *body, size_t len) {
  plr__store_le32(out, (uint32_t)len);
  out[4] = (uint8_t)type;
  plr__store_le32(out + 5, plr__message_crc(out, body, len));
  if (body != out + PLR_MSG_HEADER) memcpy(out + PLR_MSG_HEADER, body, len);
  return PLR_MSG_HEADER + len;
}

static void write_counts(uint8_t *out, const uint64_t counts[PLR_LINK_PRIORITIES]) {
  for (size_t i = 0; i < PLR_LINK_PRIORITIES; i++) plr__store_le64(out + 8 * i, counts[i]);
}

static void read_counts(uint64_t counts[PLR_LINK_PRIORITIES], const uint8_t *in) {
  for (size_t i = 0; i < PLR_LINK_PRIORITIES; i++) counts[i] = plr__load_le64(in + 8 * i);
}

void plr__hello_write(uint8_t out[PLR_HELLO_BYTES], const plr__hello *h) {
  memset(out, 0, PLR_HELLO_BYTES);
  memcpy(out, magic, 4);
  out[4] = PLR_LINK_MAJOR, out[5] = PLR_LINK_MINOR;
  out[6] = PLR_FRAME_MAJOR, out[7] = PLR_FRAME_MINOR;
  out[8] = (uint8_t)h->initiator;
  out[9] = (uint8_t)h->seal;
  plr__store_le32(out + 12, h->datagram);
  for (size_t i = 0; i < 4; i++) plr__store_le32(out + 16 + 4 * i, known_ids[i]);
  plr__store_le64(out + 32, h->window);
  plr__store_le64(out + 40, h->max_frame);
  memcpy(out + 48, h->key, 32);
  memcpy(out + 80, h->model.bytes, 32);
  memcpy(out + 112, h->profile.bytes, 32);
  memcpy(out + 144, h->nonce, 32);
  memcpy(out + 176, h->exchange, 32);
  memcpy(out + 208, h->id, 32);
  memcpy(out + 240, h->peer_id, 32);
  write_counts(out + 272, h->progress.received);
  write_counts(out + 304, h->progress.taken);
}

/* Enough of two hashes to tell them apart by eye. */
static plr_status mismatch(plr_error *err, const char *what, const uint8_t ours[32],
                           const uint8_t theirs[32]) {
  char a[17], b[17];
  plr__hex_encode(ours, 8, a);
  plr__hex_encode(theirs, 8, b);
  return plr__fail(err, PLR_ERR_MISMATCH, where, "%s: ours %s.., the peer's %s..", what, a, b);
}

static plr_status check_version(const uint8_t *body, size_t len, plr_error *err) {
  if (len < 8 || memcmp(body, magic, 4) != 0)
    return plr__fail(err, PLR_ERR_MALFORMED, where, "not a hello: the magic is wrong");
  if (body[4] != PLR_LINK_MAJOR || body[6] != PLR_FRAME_MAJOR)
    return plr__fail(err, PLR_ERR_VERSION, where,
                     "versions: ours link %u, frame %u; the peer's link %u, frame %u",
                     PLR_LINK_MAJOR, PLR_FRAME_MAJOR, body[4], body[6]);
  if (len < PLR_HELLO_BYTES)
    return plr__fail(err, PLR_ERR_MALFORMED, where, "%zu bytes of at least %u", len,
                     PLR_HELLO_BYTES);
  for (size_t i = 8; i < 10; i++)
    if (body[i] > 1)
      return plr__fail_at(err, PLR_ERR_MALFORMED, where, i, "%u is neither 0 nor 1", body[i]);
  for (size_t i = 10; i < 12; i++)
    if (body[i]) return plr__fail_at(err, PLR_ERR_MALFORMED, where, i, "a reserved byte is not 0");
  return PLR_OK;
}

static plr_status check_codecs(const uint8_t *body, plr_error *err) {
  for (size_t i = 0; i < 4; i++) {
    uint32_t theirs = plr__load_le32(body + 16 + 4 * i);
    if (!(theirs & known_ids[i]))
      return plr__fail(err, PLR_ERR_MISMATCH, where, "%s: ours 0x%x, the peer's 0x%x",
                       part_names[i], known_ids[i], theirs);
  }
  return PLR_OK;
}

/* How the bytes travel: both sides must do the same. */
static plr_status check_mode(const plr__hello *h, const plr__hello *ours, plr_error *err) {
  static const char *const seals[] = {"0 (in clear)", "1 (sealed)"};
  if (h->seal != ours->seal)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "seal: ours %s, the peer's %s",
                     seals[ours->seal], seals[h->seal]);
  if ((h->datagram != 0) != (ours->datagram != 0))
    return plr__fail(err, PLR_ERR_MISMATCH, where,
                     "datagram size (0 = a stream): ours %u, the peer's %u", ours->datagram,
                     h->datagram);
  if (h->datagram && (h->datagram < PLR_DATAGRAM_MIN || h->datagram > PLR_DATAGRAM_MAX))
    return plr__fail(err, PLR_ERR_MALFORMED, where, "datagrams of %u bytes", h->datagram);
  return PLR_OK;
}

static void read_fields(plr__hello *h, const uint8_t *body) {
  h->initiator = body[8];
  h->seal = body[9];
  h->datagram = plr__load_le32(body + 12);
  h->window = plr__load_le64(body + 32);
  h->max_frame = plr__load_le64(body + 40);
  memcpy(h->key, body + 48, 32);
  memcpy(h->model.bytes, body + 80, 32);
  memcpy(h->profile.bytes, body + 112, 32);
  memcpy(h->nonce, body + 144, 32);
  memcpy(h->exchange, body + 176, 32);
  memcpy(h->id, body + 208, 32);
  memcpy(h->peer_id, body + 240, 32);
  read_counts(h->progress.received, body + 272);
  read_counts(h->progress.taken, body + 304);
}

plr_status plr__hello_read(plr__hello *h, const uint8_t *body, size_t len, const plr__hello *ours,
                           const uint8_t expected_key[32], plr_error *err) {
  static const uint8_t any[32];
  PLR_TRY(check_version(body, len, err));
  read_fields(h, body);
  if (memcmp(h->key, ours->key, 32) == 0 && memcmp(h->nonce, ours->nonce, 32) == 0)
    return plr__fail(err, PLR_ERR_SEQUENCE, where, "our own hello came back");
  if (h->initiator == ours->initiator)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "initiator: ours %u, the peer's %u",
                     ours->initiator, h->initiator);
  PLR_TRY(check_mode(h, ours, err));
  if (!plr__hash_equal(&h->model, &ours->model))
    return mismatch(err, "model", ours->model.bytes, h->model.bytes);
  if (!plr__hash_equal(&h->profile, &ours->profile))
    return mismatch(err, "numeric profile", ours->profile.bytes, h->profile.bytes);
  if (memcmp(expected_key, any, 32) != 0 && memcmp(expected_key, h->key, 32) != 0)
    return mismatch(err, "peer's key (ours = the one expected)", expected_key, h->key);
  /* A peer that has verified us before says whom it means. */
  if (memcmp(h->peer_id, any, 32) != 0 && memcmp(h->peer_id, ours->id, 32) != 0)
    return mismatch(err, "session (our end)", ours->id, h->peer_id);
  if (memcmp(ours->peer_id, any, 32) != 0 && memcmp(ours->peer_id, h->id, 32) != 0)
    return mismatch(err, "session (the peer's end)", ours->peer_id, h->id);
  return check_codecs(body, err);
}

size_t plr__link_transcript(uint8_t *out, uint32_t role, const uint8_t *initiator,
                            size_t initiator_len, const uint8_t *responder, size_t responder_len) {
  static const char domain[16] = {'p', 'l', 'u', 'r', 'a', 'l', 'i', 's',
                                  '.', 'l', 'i', 'n', 'k', '/', 'v', '2'};
  uint8_t *p = out;
  memcpy(p, domain, sizeof domain);
  p += sizeof domain;
  *p++ = (uint8_t)role;
  plr__store_le32(p, (uint32_t)initiator_len);
  memcpy(p + 4, initiator, initiator_len);
  p += 4 + initiator_len;
  plr__store_le32(p, (uint32_t)responder_len);
  memcpy(p + 4, responder, responder_len);
  p += 4 + responder_len;
  return (size_t)(p - out);
}

size_t plr__link_both_hellos(const plr_link *link, uint32_t role, uint8_t *out) {
  const uint8_t *ours = link->our_hello, *peer = link->peer_hello;
  return link->ours.initiator
             ? plr__link_transcript(out, role, ours, PLR_HELLO_BYTES, peer, link->peer_hello_len)
             : plr__link_transcript(out, role, peer, link->peer_hello_len, ours, PLR_HELLO_BYTES);
}
