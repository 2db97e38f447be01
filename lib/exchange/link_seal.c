/* Keys of a link and what they do: libsodium's X25519, BLAKE2b, secretstream and XChaCha20-Poly1305. No random
 * numbers are drawn here: all of them come from the host's nonce, so that a link is a function of its inputs. */
#include "exchange/link_int.h"

#include <string.h>

_Static_assert(PLR_LINK_SEAL_BYTES == crypto_secretstream_xchacha20poly1305_ABYTES,
               "see libsodium");

static void hash(uint8_t *out, size_t out_len, const char *label, uint8_t role, const void *data,
                 size_t len, const uint8_t key[32]) {
  crypto_generichash_state s;
  crypto_generichash_init(&s, key, key ? 32 : 0, out_len);
  crypto_generichash_update(&s, (const uint8_t *)label, strlen(label));
  crypto_generichash_update(&s, &role, 1);
  crypto_generichash_update(&s, data, len);
  crypto_generichash_final(&s, out, out_len);
}

void plr__link_derive(const uint8_t host_nonce[32], uint8_t nonce[32], uint8_t secret[32],
                      uint8_t exchange[32]) {
  hash(nonce, 32, "pluralis.link/v2 nonce", 0, host_nonce, 32, NULL);
  hash(secret, 32, "pluralis.link/v2 secret", 0, host_nonce, 32, NULL);
  crypto_scalarmult_base(exchange, secret);
}

/* The direction from the side `role`. libsodium would draw the 24-byte header of a secretstream at random and have
 * it sent; here it comes from the key exchange like the key, and only the other end's function makes a state
 * of a header that is given. */
static void direction(plr__seal *s, uint8_t role, const uint8_t *text, size_t len,
                      const uint8_t key[32]) {
  uint8_t out[56];
  memset(s, 0, sizeof *s);
  hash(out, sizeof out, "pluralis.link/v2 stream", role, text, len, key);
  crypto_secretstream_xchacha20poly1305_init_pull(&s->stream, out + 32, out);
  hash(out, sizeof out, "pluralis.link/v2 datagram", role, text, len, key);
  memcpy(s->key, out, 32);
  memcpy(s->nonce, out + 32, 16);
  s->tag = plr__load_le32(out + 48);
  sodium_memzero(out, sizeof out);
}

plr_status plr__link_keys(plr_link *link) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES], shared[32] = {0};
  if (link->ours.seal && crypto_scalarmult(shared, link->secret, link->peer.exchange) != 0)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link hello",
                          "the exchange key is a point of low order");
  size_t len = plr__link_both_hellos(link, 0, text);
  direction(&link->tx_seal, (uint8_t)link->ours.initiator, text, len, shared);
  direction(&link->rx_seal, (uint8_t)link->peer.initiator, text, len, shared);
  sodium_memzero(shared, sizeof shared);
  return PLR_OK;
}

/* ---- streams ----------------------------------------------------------------------------------- */

/* Both ends count alike. */
static void counted(plr__seal *s) {
  if (++s->count % PLR_LINK_REKEY == 0) crypto_secretstream_xchacha20poly1305_rekey(&s->stream);
}

size_t plr__link_seal(plr_link *link, uint8_t *out, const uint8_t *payload, size_t len) {
  if (!link->ours.seal) return plr__message_write(out, PLR_MSG_DATA, payload, len);
  plr__store_le32(out, (uint32_t)(len + PLR_LINK_SEAL_BYTES));
  out[4] = PLR_MSG_SEALED;
  plr__store_le32(out + 5, 0);
  crypto_secretstream_xchacha20poly1305_push(&link->tx_seal.stream, out + PLR_MSG_HEADER, NULL,
                                             payload, len, out, PLR_MSG_HEADER, 0);
  counted(&link->tx_seal);
  return PLR_MSG_HEADER + len + PLR_LINK_SEAL_BYTES;
}

plr_status plr__link_open(plr_link *link, const uint8_t *header, const uint8_t *body, size_t len,
                          uint8_t *out, size_t *out_len) {
  plr__seal *s = &link->rx_seal;
  unsigned long long got = 0;
  unsigned char tag = 0;
  if (crypto_secretstream_xchacha20poly1305_pull(&s->stream, out, &got, &tag, body, len, header,
                                                 PLR_MSG_HEADER) != 0 ||
      tag != 0)
    return plr__link_fail(link, PLR_ERR_CHECKSUM, "link message",
                          "sealed message %llu does not open: it was altered",
                          (unsigned long long)s->count);
  counted(s);
  *out_len = (size_t)got;
  return PLR_OK;
}

/* ---- datagrams: type u8, number u64, payload, tag ---------------------------------------------- */

size_t plr__datagram_seal(plr_link *link, uint64_t number, uint8_t *out, const uint8_t *payload,
                          size_t len) {
  plr__seal *s = &link->tx_seal;
  out[0] = link->ours.seal ? PLR_MSG_SEALED : PLR_MSG_DATA;
  plr__store_le64(out + 1, number);
  if (!link->ours.seal) {
    memcpy(out + 9, payload, len);
    plr__store_le32(out + 9 + len, plr__crc32c(s->tag, out, 9 + len));
    return 9 + len + 4;
  }
  plr__store_le64(s->nonce + 16, number);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out + 9, NULL, payload, len, out, 9, NULL, s->nonce,
                                             s->key);
  return 9 + len + crypto_aead_xchacha20poly1305_ietf_ABYTES;
}

int plr__datagram_open(plr_link *link, const uint8_t *packet, size_t len, uint8_t *out,
                       size_t *out_len) {
  plr__seal *s = &link->rx_seal;
  if (!link->ours.seal) {
    if (packet[0] != PLR_MSG_DATA || len < 13) return 0;
    if (plr__crc32c(s->tag, packet, len - 4) != plr__load_le32(packet + len - 4)) return 0;
    memcpy(out, packet + 9, *out_len = len - 13);
    return 1;
  }
  unsigned long long got = 0;
  if (packet[0] != PLR_MSG_SEALED || len < PLR_DATAGRAM_OVERHEAD) return 0;
  memcpy(s->nonce + 16, packet + 1, 8);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, &got, NULL, packet + 9, len - 9, packet, 9,
                                                 s->nonce, s->key) != 0)
    return 0;
  *out_len = (size_t)got;
  return 1;
}
