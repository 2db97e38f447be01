/* The fields of the state's records, in the order of FORMAT.md. */
#include "ledger/ledger_int.h"

#define F(type, member, kind)                                                                      \
  { #member, offsetof(plr__##type, member), PLR__FIELD_##kind }
#define RECORD(name, ...)                                                                          \
  static const plr__field name##_fields[] = {__VA_ARGS__};                                         \
  const plr__fields plr__record_##name = {name##_fields, PLR_COUNT_OF(name##_fields)}

RECORD(account, {"algorithm", 0, PLR__FIELD_ALGORITHM}, F(account, key, 32), F(account, nonce, U64),
       F(account, opened, U64), F(account, previous, 32), F(account, recovery, 32),
       F(account, pending, U64));
RECORD(dataset, F(dataset, account, 32), F(dataset, bps, U16), F(dataset, base, U64),
       F(dataset, minted, U64), F(dataset, registered, U64), F(dataset, tokens, U64));
RECORD(commitment, F(commitment, commitment, 32), F(commitment, revealed, U8),
       F(commitment, secret, 32));
RECORD(globals, F(globals, epoch, U64), F(globals, oldest, U64), F(globals, accounts, U64),
       F(globals, models, U64), F(globals, receipts, U64), F(globals, units, U128),
       F(globals, minted, U128), F(globals, burned, U128), F(globals, deposited, U64),
       F(globals, paid, U64));
RECORD(faults, F(faults, count, U32), F(faults, since, U64), F(faults, reporter, 32));
RECORD(served, F(served, server, 32), F(served, block_end, U32));
RECORD(contest, F(contest, auditor, 32), F(contest, disputer, 32), F(contest, upstream, 32),
       F(contest, downstream, 32), F(contest, rounds, U32));
RECORD(rotation, F(rotation, key, 32), F(rotation, recovery, 32));
RECORD(settled, F(settled, epoch, U64), F(settled, body.reward, 20), F(settled, body.scale, U8),
       F(settled, body.leaves, U32), F(settled, body.total, U64), F(settled, body.root, 32));
RECORD(work, F(work, units, U128), F(work, receipts, U64), F(work, data, U128));
RECORD(params, F(params, value[0], U64), F(params, value[1], U64), F(params, value[2], U64),
       F(params, value[3], U64), F(params, value[4], U64), F(params, value[5], U64),
       F(params, value[6], U64), F(params, value[7], U64));
RECORD(amount, F(amount, value, U64));
RECORD(receipt, F(receipt_record, worker, 32), F(receipt_record, units, U64),
       F(receipt_record, tokens, U32), F(receipt_record, block_end, U32),
       F(receipt_record, mb_count, U32), F(receipt_record, counted, U64),
       F(receipt_record, standing, U8));
RECORD(totals, F(totals, work, U128), F(totals, minted, U64), F(totals, burned, U64),
       F(totals, provisional, U64), F(totals, designer_minted, U64), F(totals, data_minted, U64),
       F(totals, receipts, U64), F(totals, holders, U64), F(totals, data, U128),
       F(totals, served, U128), F(totals, datasets, U16), F(totals, datasets_bps, U16),
       F(totals, milestones, U32), F(totals, milestone_epoch, U64), F(totals, confirmed, U8),
       F(totals, acc, U128), F(totals, remainder, U64), F(totals, held, U64),
       F(totals, deposited, U64), F(totals, gross, U64), F(totals, royalty_in, U64),
       F(totals, royalty_out, U64), F(totals, pulled, U64), F(totals, escrow, U64),
       F(totals, served_paid, U64), F(totals, credited, U64), F(totals, paid, U64),
       F(totals, fractions, U128), F(totals, unsettled, U128));
RECORD(client, F(client, deposited, U64), F(client, spent, U64));
RECORD(burn, F(burn, reporter, 32), F(burn, bps, U16));
RECORD(exhibit, F(exhibit, kind, U8), F(exhibit, epoch, U64));

const plr__param_range plr__param_ranges[PLR_PARAMS] = {
    [PLR_PARAM_RECEIPT_WINDOW - 1] = {1, PLR__MAX_WINDOW, 1}, /* Genesis says what it is at first */
    [PLR_PARAM_AUDIT_WINDOW - 1] = {1, PLR__MAX_WINDOW, 1},
    [PLR_PARAM_CHANGE_DELAY - 1] = {1, 1024, 2},
    [PLR_PARAM_RECOVERY_DELAY - 1] = {1, 1024, 2},
    [PLR_PARAM_SLASH_DELAY - 1] = {0, 1024, 1},
    [PLR_PARAM_AUDIT_BPS - 1] = {0, 10000, 500},
    [PLR_PARAM_SLASH_BPS - 1] = {0, 10000, 5000},
    [PLR_PARAM_BOUNTY_BPS - 1] = {0, 10000, 1000},
};
