/* For lib/remote: a ledger that follows a log which is signed elsewhere. No I/O but the store's. */
#ifndef PLR_LEDGER_COPY_H
#define PLR_LEDGER_COPY_H

#include "ledger/ledger.h"

#define PLR__CHECKPOINT_MAX 65536u                /* bytes of a checkpoint */
#define PLR__TILE_MAX       (256u * 32u)          /* of a tile of hashes */
#define PLR__BUNDLE_MAX     (256u * (2 + 65535u)) /* of a bundle of entries */

/* Opens a store to be written without a sequencer: the log is a copy of one that is signed elsewhere, and may be empty.
 * Every entry is logged; an EpochClose that does not say what follows from the log is an error. */
plr_status plr__ledger_open_copy(plr_context *ctx, const plr_ledger_options *options,
                                 plr_ledger **out, plr_error *err);
/* plr_ledger_rebuild of an open copy, as often as one likes. What was stored before a failure is kept. */
plr_status plr__ledger_follow(plr_ledger *copy, const plr_log_reader *from,
                              const plr_verify_options *verify, plr_error *err);

plr_context *plr__ledger_context(const plr_ledger *l);
uint64_t plr__ledger_size(const plr_ledger *l);
/* Entries under the recorded checkpoint; 0: there is none. */
uint64_t plr__ledger_signed_size(const plr_ledger *l);

/* What a path of a tile or bundle means. level: PLR__BUNDLES for a bundle. 0: it is none. */
#define PLR__BUNDLES UINT32_MAX
int plr__log_path_read(const char *path, uint32_t *level, uint64_t *index);
/* The path of tile or bundle `index` in a log of `size` entries; 0: there is none. */
int plr__log_path(uint32_t level, uint64_t index, uint64_t size, char out[PLR_LOG_PATH_MAX]);

#endif
