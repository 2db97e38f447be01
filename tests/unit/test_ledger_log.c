/* Merkle tree, proofs and signed notes against published vectors and a naive tree. */
#include "ledger_kit.h"

#define LEAVES 140

/* Straight from RFC 6962, 2.1: recursive, over leaf hashes. */
static plr_hash naive_root(const plr_hash *leaves, uint64_t n) {
  plr_hash left, right, out;
  uint64_t k = 1;
  if (n == 0) {
    plr_sha256("", 0, &out);
    return out;
  }
  if (n == 1) return leaves[0];
  while (2 * k < n) k *= 2;
  left = naive_root(leaves, k);
  right = naive_root(leaves + k, n - k);
  uint8_t joined[65] = {1};
  memcpy(joined + 1, left.bytes, 32);
  memcpy(joined + 33, right.bytes, 32);
  plr_sha256(joined, 65, &out);
  return out;
}

static uint32_t naive_path(const plr_hash *leaves, uint64_t m, uint64_t n, plr_hash *out) {
  if (n == 1) return 0;
  uint64_t k = 1;
  while (2 * k < n) k *= 2;
  uint32_t count =
      m < k ? naive_path(leaves, m, k, out) : naive_path(leaves + k, m - k, n - k, out);
  out[count] = m < k ? naive_root(leaves + k, n - k) : naive_root(leaves, k);
  return count + 1;
}

static uint32_t naive_subproof(const plr_hash *leaves, uint64_t m, uint64_t n, int whole,
                               plr_hash *out) {
  if (m == n) {
    if (whole) return 0;
    out[0] = naive_root(leaves, n);
    return 1;
  }
  uint64_t k = 1;
  while (2 * k < n) k *= 2;
  uint32_t count = m <= k ? naive_subproof(leaves, m, k, whole, out)
                          : naive_subproof(leaves + k, m - k, n - k, 0, out);
  out[count] = m <= k ? naive_root(leaves + k, n - k) : naive_root(leaves, k);
  return count + 1;
}

/* A tree in an array per level, filled from what plr__frontier_append says it completes. */
typedef struct tree {
  plr_hash leaves[LEAVES], nodes[9][LEAVES];
  plr__frontier frontier;
} tree;

static plr_status tree_read(void *user, uint32_t level, uint64_t index, plr_hash *out,
                            plr_error *err) {
  const tree *t = user;
  (void)err;
  if (level >= 9 || (index + 1) << level > t->frontier.size) return PLR_ERR_NOT_FOUND;
  *out = t->nodes[level][index];
  return PLR_OK;
}

static void tree_add(tree *t, const void *data, size_t len) {
  plr_hash completed[64];
  uint64_t index = t->frontier.size;
  plr_log_leaf_hash(data, len, &t->leaves[index]);
  uint32_t n = plr__frontier_append(&t->frontier, &t->leaves[index], completed);
  for (uint32_t level = 0; level < n; level++) t->nodes[level][index >> level] = completed[level];
}

static void from_hex(const char *hex, uint8_t *out) {
  for (size_t i = 0; hex[2 * i]; i++) {
    unsigned v;
    sscanf(hex + 2 * i, "%2x", &v);
    out[i] = (uint8_t)v;
  }
}

static void assert_hash(const plr_hash *h, const char *hex) {
  char text[65];
  plr__hex_encode(h->bytes, 32, text);
  assert_string_equal(text, hex);
}

/* Leaves, roots and proofs of the Certificate Transparency project's tree tests (certificate-transparency,
 * merkle_tree_test.cc; the same as in RFC 6962 implementations since). */
static const char *const ct_leaves[8] = {"",
                                         "00",
                                         "10",
                                         "2021",
                                         "3031",
                                         "40414243",
                                         "5051525354555657",
                                         "606162636465666768696a6b6c6d6e6f"};
static const char *const ct_roots[8] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

static tree *ct_tree(void) {
  tree *t = calloc(1, sizeof *t);
  for (int i = 0; i < 8; i++) {
    uint8_t data[16];
    from_hex(ct_leaves[i], data);
    tree_add(t, data, strlen(ct_leaves[i]) / 2);
  }
  return t;
}

static void ct_vectors(void **state) {
  (void)state;
  tree *t = calloc(1, sizeof *t);
  plr_hash root, proof[PLR_PROOF_MAX + 1];
  uint32_t n;
  plr__node_reader reader = {t, tree_read};
  plr__frontier_root(&t->frontier, &root);
  assert_hash(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (int i = 0; i < 8; i++) {
    uint8_t data[16];
    from_hex(ct_leaves[i], data);
    tree_add(t, data, strlen(ct_leaves[i]) / 2);
    plr__frontier_root(&t->frontier, &root);
    assert_hash(&root, ct_roots[i]);
  }
  /* Inclusion of leaf 0 in 8, of leaf 5 in 8 and of leaf 2 in 3. */
  assert_int_equal(plr__prove_inclusion(&reader, 0, 8, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 3);
  assert_hash(&proof[0], "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
  assert_hash(&proof[1], "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e");
  assert_hash(&proof[2], "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4");
  assert_int_equal(plr__prove_inclusion(&reader, 5, 8, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 3);
  assert_hash(&proof[0], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
  assert_hash(&proof[1], "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
  assert_hash(&proof[2], "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
  assert_int_equal(plr__prove_inclusion(&reader, 2, 3, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 1);
  assert_hash(&proof[0], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
  /* Consistency of 6 and 8, and of 2 and 5. */
  assert_int_equal(plr__prove_consistency(&reader, 6, 8, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 3);
  assert_hash(&proof[0], "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
  assert_hash(&proof[1], "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
  assert_hash(&proof[2], "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
  assert_int_equal(plr__prove_consistency(&reader, 2, 5, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 2);
  assert_hash(&proof[0], "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e");
  assert_hash(&proof[1], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
  free(t);
}

/* Every size, every index: proofs equal the naive ones and verify. */
static void all_proofs(void **state) {
  (void)state;
  tree *t = calloc(1, sizeof *t);
  plr_hash roots[LEAVES + 1], proof[PLR_PROOF_MAX + 1], naive[PLR_PROOF_MAX + 1];
  plr__node_reader reader = {t, tree_read};
  roots[0] = naive_root(NULL, 0);
  for (uint32_t i = 0; i < LEAVES; i++) {
    tree_add(t, &i, sizeof i);
    plr__frontier_root(&t->frontier, &roots[i + 1]);
    plr_hash again = naive_root(t->leaves, i + 1);
    assert_memory_equal(&again, &roots[i + 1], 32);
  }
  for (uint64_t size = 1; size <= LEAVES; size++) {
    plr_hash root;
    assert_int_equal(plr__tree_root(&reader, size, &root, NULL), PLR_OK);
    assert_memory_equal(&root, &roots[size], 32);
    for (uint64_t i = 0; i < size; i++) {
      uint32_t n;
      assert_int_equal(plr__prove_inclusion(&reader, i, size, proof, &n, NULL), PLR_OK);
      assert_int_equal(n, naive_path(t->leaves, i, size, naive));
      assert_memory_equal(proof, naive, n * 32);
      assert_int_equal(plr_log_verify_inclusion(&t->leaves[i], i, size, proof, n, &roots[size]),
                       PLR_OK);
    }
    for (uint64_t old = 0; old <= size; old++) {
      uint32_t n;
      assert_int_equal(plr__prove_consistency(&reader, old, size, proof, &n, NULL), PLR_OK);
      if (old) assert_int_equal(n, naive_subproof(t->leaves, old, size, 1, naive));
      if (old) assert_memory_equal(proof, naive, n * 32);
      assert_int_equal(plr_log_verify_consistency(old, &roots[old], size, &roots[size], proof, n),
                       PLR_OK);
    }
  }
  free(t);
}

/* Any other index, size, length or bit in a proof fails. */
static void false_proofs(void **state) {
  (void)state;
  tree *t = ct_tree();
  plr__node_reader reader = {t, tree_read};
  for (uint64_t size = 1; size <= 8; size++)
    for (uint64_t i = 0; i < size; i++) {
      plr_hash proof[PLR_PROOF_MAX + 1] = {{{0}}}, root = naive_root(t->leaves, size);
      const plr_hash *leaf = &t->leaves[i];
      uint32_t n;
      plr__prove_inclusion(&reader, i, size, proof, &n, NULL);
      for (uint64_t j = 0; j < 9; j++)
        if (j != i)
          assert_int_equal(plr_log_verify_inclusion(leaf, j, size, proof, n, &root), PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_inclusion(leaf, i, size, proof, n + 1, &root), PLR_ERR_PROOF);
      if (n)
        assert_int_equal(plr_log_verify_inclusion(leaf, i, size, proof, n - 1, &root),
                         PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_inclusion(leaf, i, 0, proof, n, &root), PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_inclusion(leaf, i, size, proof, 65, &root), PLR_ERR_PROOF);
      for (uint32_t b = 0; b < n * 32; b++) {
        ((uint8_t *)proof)[b] ^= 1;
        assert_int_equal(plr_log_verify_inclusion(leaf, i, size, proof, n, &root), PLR_ERR_PROOF);
        ((uint8_t *)proof)[b] ^= 1;
      }
    }
  for (uint64_t size = 2; size <= 8; size++)
    for (uint64_t old = 1; old < size; old++) {
      plr_hash proof[PLR_PROOF_MAX + 1] = {{{0}}}, before = naive_root(t->leaves, old),
                                     after = naive_root(t->leaves, size);
      uint32_t n;
      plr__prove_consistency(&reader, old, size, proof, &n, NULL);
      assert_int_equal(plr_log_verify_consistency(old, &after, size, &after, proof, n),
                       PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_consistency(old, &before, size, &before, proof, n),
                       PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_consistency(old, &before, size, &after, proof, n - 1),
                       PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_consistency(old, &before, size, &after, proof, n + 1),
                       PLR_ERR_PROOF);
      assert_int_equal(plr_log_verify_consistency(size, &after, old, &before, proof, n),
                       PLR_ERR_PROOF);
      for (uint32_t b = 0; b < n * 32; b++) {
        ((uint8_t *)proof)[b] ^= 0x80;
        assert_int_equal(plr_log_verify_consistency(old, &before, size, &after, proof, n),
                         PLR_ERR_PROOF);
        ((uint8_t *)proof)[b] ^= 0x80;
      }
    }
  plr_hash root = naive_root(t->leaves, 8);
  assert_int_equal(plr_log_verify_inclusion(NULL, 0, 1, NULL, 0, &root), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_log_verify_consistency(0, &root, 8, &root, NULL, 0), PLR_ERR_PROOF);
  free(t);
}

/* Sizes near 2^63: the shapes of huge trees. A reader that derives every node from its address stands in for the
 * tree; only the proof's own consistency is checked here. */
static plr_status huge_read(void *user, uint32_t level, uint64_t index, plr_hash *out,
                            plr_error *err) {
  (void)user, (void)err;
  uint64_t address[2] = {level, index};
  plr_sha256(address, sizeof address, out);
  return PLR_OK;
}

static void huge_sizes(void **state) {
  (void)state;
  plr__node_reader reader = {NULL, huge_read};
  plr_hash proof[PLR_PROOF_MAX + 1];
  uint32_t n;
  uint64_t size = (uint64_t)INT64_MAX;
  assert_int_equal(plr__prove_inclusion(&reader, 0, size, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 63);
  assert_int_equal(plr__prove_inclusion(&reader, size - 1, size, proof, &n, NULL), PLR_OK);
  assert_int_equal(n, 62);
  assert_int_equal(plr__prove_consistency(&reader, size - 1, size, proof, &n, NULL), PLR_OK);
  assert_true(n <= PLR_PROOF_MAX + 1);
}

/* ---- notes -------------------------------------------------------------------------------------- */

#define C2SP_KEY "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
static const char c2sp_note[] = "This is an example message.\n";

/* The verifier key of the example in C2SP signed-note: its key id follows from name and key. */
static void c2sp_vkey(void **state) {
  (void)state;
  char name[PLR__MAX_ORIGIN + 1], again[256];
  uint8_t key[32];
  size_t len;
  assert_int_equal(plr__vkey_parse(C2SP_KEY, name, key), PLR_OK);
  assert_string_equal(name, "example.com/foo");
  assert_int_equal(plr_log_vkey(name, key, again, sizeof again, &len), PLR_OK);
  assert_string_equal(again, C2SP_KEY);
  assert_int_equal(len, strlen(C2SP_KEY));
  assert_int_equal(plr_log_vkey(name, key, again, len, &len), PLR_ERR_BUFFER_TOO_SMALL);
  assert_int_equal(plr_log_vkey(name, key, again, len + 1, &len), PLR_OK);
  assert_int_equal(plr_log_vkey("with space", key, again, sizeof again, &len),
                   PLR_ERR_INVALID_ARGUMENT);
  char bad[] = C2SP_KEY;
  for (size_t i = 0; bad[i]; i++) {
    char old = bad[i];
    bad[i] ^= 1;
    assert_int_equal(plr__vkey_parse(bad, name, key), PLR_ERR_MALFORMED);
    bad[i] = old;
  }
}

/* The signed example itself, and the one of Go's sumdb/note package, whose secret key is published, so that our
 * signing must give the same bytes. */
static void known_notes(void **state) {
  (void)state;
  static const char example[] = "This is an example message.\n\n\xe2\x80\x94 example.com/foo "
                                "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOB"
                                "H3mFXmRKuwHjG1Yu72IneyaQM=\n";
  static const char text[] = "If you think cryptography is the answer to your problem,\n"
                             "then you don't know what your problem is.\n";
  static const char line[] =
      "\xe2\x80\x94 PeterNeumann "
      "x08go/ZJkuBS9UG/"
      "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  char name[PLR__MAX_ORIGIN + 1], want[512];
  uint8_t key[32], secret[33];
  size_t len;
  assert_int_equal(plr__vkey_parse(C2SP_KEY, name, key), PLR_OK);
  assert_int_equal(plr__note_open(example, strlen(example), name, key, &len, NULL), PLR_OK);
  assert_int_equal(len, strlen(c2sp_note));
  kit k;
  plr_identity *peter;
  plr_buffer b;
  kit_init(&k, 1);
  assert_int_equal(
      plr__base64_decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz", 44, secret, 33), 33);
  assert_int_equal(plr_identity_create(k.ctx, secret + 1, &peter, NULL), PLR_OK);
  plr__buffer_init(&b, k.ctx);
  assert_int_equal(plr__note_sign(&b, text, strlen(text), "PeterNeumann", peter), PLR_OK);
  snprintf(want, sizeof want, "%s\n%s", text, line);
  assert_int_equal(b.len, strlen(want));
  assert_memory_equal(b.data, want, b.len);
  plr__buffer_release(&b);
  plr_identity_destroy(peter);
  kit_done(&k);
}

static plr_buffer sign(kit *k, const char *text, int who) {
  plr_buffer b;
  plr__buffer_init(&b, k->ctx);
  assert_int_equal(plr__note_sign(&b, text, strlen(text), "example.com/foo", k->people[who]),
                   PLR_OK);
  return b;
}

static plr_status check(const char *note, size_t len, const uint8_t key[32]) {
  size_t text;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr__note_open(note, len, "example.com/foo", key, &text, &err);
  if (st != PLR_OK) assert_true(err.message[0]);
  return st;
}

static void notes(void **state) {
  (void)state;
  kit k;
  uint8_t key[32], other[32];
  kit_init(&k, 1);
  plr_identity_public_key(k.people[0], key);
  plr_identity_public_key(k.people[1], other);
  plr_buffer b = sign(&k, c2sp_note, 0), two = sign(&k, c2sp_note, 1);
  char *note = (char *)b.data;
  size_t text;
  assert_int_equal(plr__note_open(note, b.len, "example.com/foo", key, &text, NULL), PLR_OK);
  assert_int_equal(text, strlen(c2sp_note));
  assert_int_equal(check(note, b.len, other), PLR_ERR_SIGNATURE);
  for (size_t i = 0; i < b.len; i++) { /* every byte matters */
    note[i] ^= 1;
    assert_int_not_equal(check(note, b.len, key), PLR_OK);
    note[i] ^= 1;
  }
  for (size_t len = 0; len < b.len; len++) assert_int_not_equal(check(note, len, key), PLR_OK);
  /* A second signature: each key finds its own, and a bad one by the key asked for spoils the note. */
  size_t line = strlen(c2sp_note) + 1;
  plr__buffer_put(&b, two.data + line, two.len - line);
  assert_int_equal(check((char *)b.data, b.len, key), PLR_OK);
  assert_int_equal(check((char *)b.data, b.len, other), PLR_OK);
  char *sig = (char *)b.data + b.len - 12;
  *sig = *sig == 'A' ? 'B' : 'A';
  assert_int_equal(check((char *)b.data, b.len, key), PLR_OK);
  assert_int_equal(check((char *)b.data, b.len, other), PLR_ERR_SIGNATURE);
  /* Longer signatures of other algorithms are passed over; lines that are none are not. */
  plr__buffer_clear(&b);
  plr__buffer_put(&b, two.data, two.len);
  plr__buffer_printf(&b, "\xe2\x80\x94 example.com/foo %0400d\n", 0);
  assert_int_equal(check((char *)b.data, b.len, other), PLR_OK);
  /* One that says it is of the key asked for must hold, whatever its length. */
  size_t before = b.len, id = line + strlen(plr__note_dash) + strlen("example.com/foo ");
  plr__buffer_printf(&b, "\xe2\x80\x94 example.com/foo %.6sAA%0400d\n", (char *)two.data + id, 0);
  assert_int_equal(check((char *)b.data, b.len, other), PLR_ERR_SIGNATURE);
  assert_int_equal(check((char *)b.data, b.len, key), PLR_ERR_SIGNATURE); /* it has none */
  b.len = before;
  plr__buffer_printf(&b, "no line\n");
  assert_int_equal(check((char *)b.data, b.len, other), PLR_ERR_MALFORMED);
  plr__buffer_release(&b);
  plr__buffer_release(&two);
  kit_done(&k);
}

static void checkpoints(void **state) {
  (void)state;
  kit k;
  uint8_t key[32];
  plr_buffer b;
  plr_hash root, got;
  uint64_t size;
  kit_init(&k, 1);
  plr_identity_public_key(k.people[0], key);
  plr__buffer_init(&b, k.ctx);
  plr_sha256("", 0, &root);
  assert_int_equal(plr__checkpoint_sign(&b, ORIGIN, 20852163, &root, k.people[0]), PLR_OK);
  assert_memory_equal(b.data, ORIGIN "\n20852163\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
                      strlen(ORIGIN) + 56);
  const char *note = (const char *)b.data;
  assert_int_equal(plr_log_verify_checkpoint(note, b.len, ORIGIN, key, &size, &got, NULL), PLR_OK);
  assert_int_equal(size, 20852163);
  assert_memory_equal(&got, &root, 32);
  assert_int_equal(
      plr_log_verify_checkpoint(note, b.len, "example.org/other", key, NULL, NULL, NULL),
      PLR_ERR_SIGNATURE);
  assert_int_equal(plr_log_verify_checkpoint(note, b.len, NULL, key, NULL, NULL, NULL),
                   PLR_ERR_INVALID_ARGUMENT);
  /* Signed, but not checkpoints. */
  const char *const bodies[] = {
      ORIGIN "\n",
      ORIGIN "\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
      ORIGIN "\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
      ORIGIN "\n9223372036854775808\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
      ORIGIN "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n", /* not canonical */
      ORIGIN "\n1\n47DEQpj8HBSa\n",
      ORIGIN "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\nx\n",
  };
  for (size_t i = 0; i < PLR_COUNT_OF(bodies); i++) {
    plr__buffer_clear(&b);
    assert_int_equal(plr__note_sign(&b, bodies[i], strlen(bodies[i]), ORIGIN, k.people[0]), PLR_OK);
    assert_int_equal(
        plr_log_verify_checkpoint((char *)b.data, b.len, ORIGIN, key, NULL, NULL, NULL),
        PLR_ERR_MALFORMED);
  }
  const char *other = "example.org/other\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
  plr__buffer_clear(&b);
  plr__note_sign(&b, other, strlen(other), ORIGIN, k.people[0]);
  assert_int_equal(plr_log_verify_checkpoint((char *)b.data, b.len, ORIGIN, key, NULL, NULL, NULL),
                   PLR_ERR_MISMATCH);
  plr__buffer_release(&b);
  kit_done(&k);
}

/* The same through a ledger: proofs of its entries against its own checkpoint. */
static void ledger_proofs(void **state) {
  (void)state;
  kit k;
  char note[512];
  size_t len;
  uint64_t size;
  plr_hash root, leaf, proof[PLR_PROOF_MAX + 1];
  uint32_t n;
  uint8_t key[32];
  kit_init(&k, 1);
  kit_open(&k, NULL);
  kit_populate(&k);
  plr_ledger_summary early = kit_summary(k.ledger);
  kit_work(&k, 0, 0, 0, 0);
  kit_append(&k);
  kit_close(&k);
  assert_string_equal(plr_ledger_origin(k.ledger, key), ORIGIN);
  assert_int_equal(plr_ledger_checkpoint(k.ledger, note, 10, &len, NULL), PLR_ERR_BUFFER_TOO_SMALL);
  assert_int_equal(plr_ledger_checkpoint(k.ledger, note, len, &len, NULL), PLR_OK);
  assert_int_equal(plr_log_verify_checkpoint(note, len, ORIGIN, key, &size, &root, NULL), PLR_OK);
  assert_int_equal(size, early.entries + 2);
  for (uint64_t i = 0; i < size; i++) {
    assert_int_equal(plr_ledger_entry(k.ledger, i, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
    plr_log_leaf_hash(k.entry, k.len, &leaf);
    assert_int_equal(plr_ledger_prove_inclusion(k.ledger, i, size, proof, &n, NULL), PLR_OK);
    assert_int_equal(plr_log_verify_inclusion(&leaf, i, size, proof, n, &root), PLR_OK);
  }
  assert_int_equal(plr_ledger_prove_consistency(k.ledger, early.entries, size, proof, &n, NULL),
                   PLR_OK);
  assert_int_equal(plr_log_verify_consistency(early.entries, &early.root, size, &root, proof, n),
                   PLR_OK);
  assert_int_equal(plr_ledger_prove_inclusion(k.ledger, size, size, proof, &n, NULL),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_ledger_prove_inclusion(k.ledger, 0, size + 1, proof, &n, NULL),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_ledger_prove_consistency(k.ledger, 2, 1, proof, &n, NULL),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_ledger_entry(k.ledger, size, k.entry, sizeof k.entry, &k.len, NULL),
                   PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_ledger_entry(k.ledger, 0, k.entry, 3, &k.len, NULL),
                   PLR_ERR_BUFFER_TOO_SMALL);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ct_vectors), cmocka_unit_test(all_proofs),  cmocka_unit_test(false_proofs),
      cmocka_unit_test(huge_sizes), cmocka_unit_test(c2sp_vkey),   cmocka_unit_test(known_notes),
      cmocka_unit_test(notes),      cmocka_unit_test(checkpoints), cmocka_unit_test(ledger_proofs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
