/* Inside the ledger: state, log, store. For this folder and its tests. */
#ifndef PLR_LEDGER_LEDGER_INT_H
#define PLR_LEDGER_LEDGER_INT_H

#include "base/guard.h"
#include "ledger/ledger.h"
#include "ledger/state_map.h"
#include <pluralis/settlement.h>

#define PLR__RULES 1u /* version of the state machine, in Genesis */

/* ---- bytes (bytes.c) ------------------------------------------------------------------------ */

void plr__read_into(plr_reader *r, void *out, size_t len);
plr__u128 plr__read_be128(plr_reader *r);
void plr__buffer_be128(plr_buffer *b, plr__u128 v);
plr_units plr__units(plr__u128 v);
int plr__is_zero(const void *data, size_t len);
int plr__name_ok(const char *text, size_t max); /* 1..max printable ASCII, no space, no '+' */
/* Copies a buffer to a caller's, by the *len rule of ledger.h. */
plr_status plr__copy_out(const plr_buffer *from, void *buf, size_t cap, size_t *len,
                         plr_error *err);
/* 1: the entry's fault, the same on every node that replays; 0: the environment's, or fatal. */
int plr__is_refusal(plr_status st);

/* ---- fields (fields.c) -------------------------------------------------------------------------- */

/* A body or a record of the state as a table: what each field is, and where in the struct. Integers below 64 bits are
 * uint32_t members. */
typedef enum plr__field_kind {
  PLR__FIELD_U8,
  PLR__FIELD_U16,
  PLR__FIELD_U32,
  PLR__FIELD_U64,
  PLR__FIELD_U128,
  PLR__FIELD_20, /* bytes */
  PLR__FIELD_32,
  PLR__FIELD_ALGORITHM, /* no member: one byte, Ed25519 */
  PLR__FIELD_BLOB       /* u16 length ‖ bytes; members: pointer, and the uint64_t two pointers on */
} plr__field_kind;

typedef struct plr__field {
  const char *name;
  uint16_t offset;
  uint8_t kind;
} plr__field;

typedef struct plr__fields {
  const plr__field *fields;
  uint32_t count;
} plr__fields;

/* Sets r->failed when bytes are missing. VERSION: an unknown algorithm. */
plr_status plr__fields_read(plr_reader *r, const plr__fields *t, void *out);
/* INVALID_ARGUMENT, and *bad is the field, when a value does not fit its bytes; bad may be NULL. */
plr_status plr__fields_write(plr_buffer *b, const plr__fields *t, const void *in, const char **bad);
/* Appends `, "name": value` for each. */
void plr__fields_json(plr_buffer *b, const plr__fields *t, const void *in);

void plr__json_hex(plr_buffer *b, const char *name, const void *data, size_t len);
void plr__json_u128(plr_buffer *b, const char *name, plr__u128 v);

/* ---- entries (entry.c, entry_types.c, entry_build.c) ---------------------------------------------------------- */

#define PLR__ENTRY_TYPES 21u /* one above the last */
#define PLR__MAX_SIGNERS 3u

typedef struct plr__entry_type {
  const char *name;
  plr__fields body;   /* in plr_entry.as */
  size_t struct_size; /* of the public struct that hosts write it from; 0: none */
  plr_status (*check)(const plr_entry *e, plr_error *err); /* what must hold of the fields; may be NULL */
} plr__entry_type;
extern const plr__entry_type plr__entry_types[PLR__ENTRY_TYPES];
extern const plr__fields plr__receipt_fields;

typedef struct plr__signer {
  uint32_t role;
  uint8_t account[32];
} plr__signer;

/* Who must sign, in canonical order. */
uint32_t plr__entry_signers(const plr_entry *e, plr__signer out[PLR__MAX_SIGNERS]);
/* Decodes header and body, and as many signatures as there are, from none; the reader is left behind them. */
plr_status plr__entry_decode_partial(const void *data, size_t len, plr_entry *out, plr_error *err);

typedef struct plr__param_range {
  uint64_t low, high, first;
} plr__param_range;
extern const plr__param_range plr__param_ranges[PLR_PARAMS]; /* by number - 1 (state.c) */

int plr__signature_order(const plr_entry_signature *a, const plr_entry_signature *b);
void plr__entry_begin(plr_buffer *out, uint32_t type, const uint8_t author[32], uint64_t nonce,
                      uint64_t valid_to_epoch);
/* Sets the body's length of the entry that begins at `start`. Errors: NO_MEMORY, LIMIT (over 65535). */
plr_status plr__entry_end(plr_buffer *out, size_t start);
/* Signs as the author what is in `out` and attaches it. */
plr_status plr__entry_finish(plr_buffer *out, const plr_identity *author, const char *origin);
plr_status plr__genesis_encode(plr_buffer *out, const plr_genesis *g);
plr_status plr__epoch_close_encode(plr_buffer *out, const uint8_t author[32], uint64_t nonce,
                                   const plr_epoch_close *c);
/* Reads a ModelRegister body as the state keeps it. */
plr_status plr__model_register_decode(const void *body, size_t len, plr_model_register *out);
plr_status plr__genesis_decode(const void *body, size_t len, plr_genesis *out);

/* ---- Merkle log (merkle_log.c, merkle_proof.c) ------------------------------------------------- */

/* The right edge of a tree: nodes[l] is the last complete subtree of 2^l leaves when bit l of size is set. */
typedef struct plr__frontier {
  uint64_t size;
  plr_hash nodes[64];
} plr__frontier;

/* Adds a leaf and writes the hashes of the subtrees it completes, the leaf first: completed[l] is the node of
 * level l that ends with it. Returns how many: 1 + trailing zeros of the new size. */
uint32_t plr__frontier_append(plr__frontier *f, const plr_hash *leaf, plr_hash completed[64]);
void plr__frontier_root(const plr__frontier *f, plr_hash *out);

/* Reads complete subtree `index` of level `level` (leaves [index << level, (index + 1) << level)). */
typedef struct plr__node_reader {
  void *user;
  plr_status (*read)(void *user, uint32_t level, uint64_t index, plr_hash *out, plr_error *err);
} plr__node_reader;

/* Root of the first `size` entries. */
plr_status plr__tree_root(const plr__node_reader *nodes, uint64_t size, plr_hash *out,
                          plr_error *err);
plr_status plr__prove_inclusion(const plr__node_reader *nodes, uint64_t index, uint64_t size,
                                plr_hash *proof, uint32_t *count, plr_error *err);
plr_status plr__prove_consistency(const plr__node_reader *nodes, uint64_t old_size,
                                  uint64_t new_size, plr_hash *proof, uint32_t *count,
                                  plr_error *err);

/* ---- signed notes (note.c, checkpoint.c) ------------------------------------------------------- */

#define PLR__NOTE_MAX 65536u

/* Key id of an Ed25519 note key: first 4 bytes of SHA256(name ‖ 0A ‖ 01 ‖ key). */
void plr__note_key_id(const char *name, const uint8_t key[32], uint8_t out[4]);
/* The same for a key of any type of the signed-note registry. */
void plr__key_id(const char *name, uint8_t type, const uint8_t key[32], uint8_t out[4]);
plr_status plr__vkey_make(const char *name, uint8_t type, const uint8_t key[32], char *buf, size_t cap,
                          size_t *len);
/* Whether a signature line says that it is of the key with this id: its signature must then hold. */
int plr__note_line_id(const char *base64, size_t len, const uint8_t id[4]);
extern const char plr__note_dash[]; /* what a signature line begins with */
/* Checks a note's form, and no signature. text_len: bytes of the signed text; an empty line follows. */
plr_status plr__note_split(const char *note, size_t len, size_t *text_len, plr_error *err);
/* Appends text ‖ "\n" ‖ signature line. text ends with a newline. */
plr_status plr__note_sign(plr_buffer *out, const char *text, size_t len, const char *name,
                          const plr_identity *identity);
/* Checks a note's form and the signature of (name, key). text_len: bytes of the signed text. */
plr_status plr__note_open(const char *note, size_t len, const char *name, const uint8_t key[32],
                          size_t *text_len, plr_error *err);
/* Reads name+id+key of type Ed25519. name holds PLR__MAX_ORIGIN + 1 bytes. */
plr_status plr__vkey_parse(const char *vkey, char *name, uint8_t key[32]);
plr_status plr__checkpoint_sign(plr_buffer *out, const char *origin, uint64_t size,
                                const plr_hash *root, const plr_identity *identity);

/* The recorded checkpoint, with its cosignatures. size may be NULL. Errors: INVALID_STATE: none yet. */
plr_status plr__recorded_checkpoint(plr_ledger *l, plr_buffer *out, uint64_t *size, plr_error *err);
/* Appends a witness's signature line over a checkpoint's text (cosign.c). */
plr_status plr__cosign_line(plr_buffer *out, const char *name, const plr_identity *identity, uint64_t time,
                            const char *text, size_t text_len);
/* Takes the next line of [*at, end) without its newline; 0 when there is none. */
int plr__next_line(const char **at, const char *end, const char **line, size_t *len);
/* Decimal without sign and leading zeros, below 2^63. */
int plr__read_size(const char *line, size_t len, uint64_t *out);

/* ---- tiles (tile.c) ----------------------------------------------------------------------------- */

#define PLR__TILE_WIDTH   256u
#define PLR__TILE_ENTRIES UINT32_MAX /* level of an entry bundle */

typedef struct plr__tile {
  uint64_t index;
  uint32_t level, width;
} plr__tile;

void plr__tile_path(const plr__tile *t, char out[PLR_LOG_PATH_MAX]);
plr_status plr__tile_parse(const char *path, plr__tile *out);
/* NOT_FOUND when the log does not fill it. */
plr_status plr__tile_read(plr_ledger *l, const plr__tile *t, plr_buffer *out, plr_error *err);

#include "ledger/state_int.h"

/* ---- batches (batch.c) ------------------------------------------------------------------------- */

#define PLR__BATCH 256u

typedef struct plr__batch_item {
  const void *data;
  size_t len;
  plr_hash leaf; /* of the log's tree */
  plr_status decoded;
  plr_entry entry;
  plr__verdict verdict;
} plr__batch_item;

typedef struct plr__batch {
  plr_context *ctx;
  const plr__state *state;
  plr__batch_item *items;
  uint32_t count;
  uint32_t open; /* signatures to be verified */
  struct plr__open_signature *signatures;
} plr__batch;

plr_status plr__batch_init(plr__batch *b, plr_context *ctx);
void plr__batch_release(plr__batch *b);
/* Decodes the items and verifies their signatures on the context's threads. */
void plr__batch_prepare(plr__batch *b, const plr__state *s);
/* Applies item i; *logged_status is its status when it is a refusal. Returns failures of the environment only. */
plr_status plr__batch_apply(plr__batch *b, plr__state *s, uint32_t i, plr_status *entry_status,
                            plr_error *err);

/* ---- store (store.c, store_memory.c, store_sqlite.c) -------------------------------------------- */

/* A row: status i32 ‖ hashes of the subtrees that the entry completes, leaf first ‖ entry. So node (level, n) of the
 * tree is hash `level` of row ((n + 1) << level) - 1. */
typedef struct plr__row {
  plr_status status;
  uint32_t hash_count, entry_len;
  const uint8_t *hashes, *entry; /* valid as the store's bytes are */
} plr__row;

typedef struct plr__store {
  plr_ledger_store v;
  void (*opened)(void *user); /* the ledger has been read; may be NULL */
  void (*close)(void *user);  /* NULL: the host's */
  uint32_t persistent, reserved;
} plr__store;

plr_status plr__store_memory(plr_context *ctx, plr__store *out, plr_error *err);
/* writable: make the file when absent, and keep other writers out. */
plr_status plr__store_sqlite(plr_context *ctx, const char *path, int writable, plr__store *out,
                             plr_error *err);
plr_status plr__store_host(const plr_ledger_store *host, plr__store *out, plr_error *err);
void plr__store_close(plr__store *s);
/* The store's own functions; an error always says something. put: len 0 removes. */
plr_status plr__store_begin(const plr__store *s, plr_error *err);
plr_status plr__store_put(const plr__store *s, const char *name, const void *data, size_t len,
                          plr_error *err);
plr_status plr__store_commit(const plr__store *s, plr_error *err);
plr_status plr__store_compact(const plr__store *s, plr_error *err);
/* work: a buffer that the row is put together in. */
plr_status plr__store_append(const plr__store *s, plr_buffer *work, uint64_t index, plr_status status,
                             const void *entry, size_t len, const plr_hash *hashes,
                             uint32_t hash_count, plr_error *err);
/* NOT_FOUND, CORRUPT, and what the store says. */
plr_status plr__store_row(const plr__store *s, uint64_t index, plr__row *out, plr_error *err);
plr_status plr__store_get(const plr__store *s, const char *name, const void **data, size_t *len,
                          plr_error *err);
/* Puts one record in a transaction of its own. */
plr_status plr__store_record(const plr__store *s, const char *name, const void *data, size_t len,
                             plr_error *err);

/* ---- the handle (ledger.c, snapshot.c) --------------------------------------------------------- */

typedef struct plr__head {
  plr__frontier frontier;
  uint64_t rejected;
} plr__head;

struct plr_ledger {
  plr_context *ctx;
  PLR_GUARDED
  plr__store store;
  plr__state state;
  plr__head head;
  plr__batch batch;
  plr_buffer scratch;
  const plr_identity *sequencer;
  uint32_t log_invalid, is_copy;
  plr_status fatal;       /* not OK: the handle is dead */
  uint64_t snapshot_size; /* entries covered by the stored state */
  uint32_t snapshot_pieces; /* records it is kept in */
  uint64_t snapshot_every; /* entries after which the state is stored again */
  uint64_t signed_size;   /* of the recorded checkpoint; UINT64_MAX: none */
  plr_buffer checkpoint;  /* the recorded one as it was at open, in a ledger that only reads */
};

/* Errors: INVALID_ARGUMENT, INVALID_STATE (read-only), what ended the handle. */
plr_status plr__ledger_writable(const plr_ledger *l, plr_error *err);
/* Writes the state, within a transaction. pieces: how many records it took. */
plr_status plr__snapshot_write(plr_ledger *l, uint32_t *pieces, plr_error *err);
/* Writes the state in a transaction of its own. */
plr_status plr__snapshot_store(plr_ledger *l, plr_error *err);
plr_status plr__ledger_append_items(plr_ledger *l, plr_append_item *items, size_t count, plr_error *err);
/* Reads and checks a caller's. */
plr_status plr__verify_options_read(plr_verify_options *out, const plr_verify_options *given,
                                    plr_error *err);
/* Rebuilds head and state from the store. NOT_FOUND: it is empty. */
plr_status plr__ledger_load(plr_ledger *l, plr_error *err);
plr_status plr__head_write(plr_ledger *l, plr_error *err);
plr__node_reader plr__ledger_nodes(plr_ledger *l);
plr_status plr__summarize(const plr__state *s, const plr__head *head, plr_ledger_summary *out);

/* First bytes of an export; the last one is its version. */
#define PLR__EXPORT_MAGIC "PLRLEDG1"

#endif
