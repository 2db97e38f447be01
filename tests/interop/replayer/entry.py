"""Entries, FORMAT.md section 1: layouts of the bodies, the ranges of their values, signatures."""
import hashlib
from collections import namedtuple

from .fields import Layout, Malformed, Reader

GENESIS, ACCOUNT_OPEN, MODEL_REGISTER, RECEIPT, EPOCH_CLOSE, REVENUE_DEPOSIT, CLAIM = 1, 2, 4, 8, 12, 14, 17
AUTHOR, UPSTREAM, DOWNSTREAM = 0, 1, 2
ED25519, NO_EXPIRY, MONEY_LIMIT, NOBODY = 1, 2 ** 64 - 1, 2 ** 63, bytes(32)
ENTRY_MAX = 65535

BODIES = {
    GENESIS: Layout(("rules", "u16"), ("origin", "name"), ("algorithm", "u8"), ("key", 32), ("currency", "name"),
                    ("decimals", "u8"), ("receipt_window", "u32"), ("treasurer", 32)),
    ACCOUNT_OPEN: Layout(("algorithm", "u8"), ("key", 32)),
    MODEL_REGISTER: Layout(("model", 32), ("profile", 32), ("designer_bps", "u16"), ("data_bps", "u16"),
                           ("data_account", 32), ("halving", "u128"), ("rate", "u64"), ("rate_divisor", "u64"),
                           ("vest_epochs", "u32"), ("vest_cliff", "u32"), ("microbatch_tokens", "u32"),
                           ("costs", ("list", "u32", (("cost", "u64"),), 1, 4096))),
    RECEIPT: Layout(("model", 32), ("profile", 32), ("epoch", "u64"), ("step", "u64"), ("mb_first", "u32"),
                    ("mb_count", "u32"), ("block_first", "u32"), ("block_end", "u32"), ("lane", "u32"),
                    ("tokens", "u32"), ("units", "u64"), ("frames_root", 32), ("weight_root", 32),
                    ("weight_step", "u64"), ("upstream", 32), ("downstream", 32)),
    EPOCH_CLOSE: Layout(("epoch", "u64"), ("receipts", "u64"), ("units", "u128"), ("minted", "u128"),
                        ("deposited", "u64"), ("paid", "u64"), ("state_root", 32)),
    REVENUE_DEPOSIT: Layout(("model", 32), ("amount", "u64")),
    CLAIM: Layout(("model", 32), ("amount", "u64")),
}

Signature = namedtuple("Signature", "role account bytes")
Head = namedtuple("Head", "author nonce valid_to_epoch")
Entry = namedtuple("Entry", "type author nonce valid_to_epoch body unsigned signatures")


def account_id(key):
    return hashlib.sha256(b"pluralis.account/v1" + key).digest()


def need(truth, what):
    if not truth:
        raise Malformed(what)


def name_ok(name, most):
    return 1 <= len(name) <= most and all(0x21 <= c <= 0x7e and c != 0x2b for c in name)


def mint_ok(halving, rate, rate_divisor):
    if not halving or not rate or not rate_divisor:
        return False
    total = sum(rate >> k for k in range(64))
    return halving <= (2 ** 127 - 1) // total and halving * total // rate_divisor < 2 ** 63


def check_genesis(b, head):
    need(b.rules == 1 and b.algorithm == ED25519, "rules or algorithm")
    need(name_ok(b.origin, 128) and name_ok(b.currency, 16), "name")
    need(b.decimals <= 18 and 1 <= b.receipt_window <= 1024, "range")


def check_account_open(b, head):
    need(b.algorithm == ED25519, "algorithm")


def check_model_register(b, head):
    need(b.designer_bps + b.data_bps <= 10000, "bps")
    need((b.data_account == NOBODY) == (b.data_bps == 0), "data account")
    need(b.vest_epochs <= 1024 and b.vest_cliff <= b.vest_epochs, "vesting")
    need(b.microbatch_tokens > 0, "tokens")
    need(all(cost for cost, in b.costs), "costs")
    need(mint_ok(b.halving, b.rate, b.rate_divisor), "mint")


def check_receipt(b, head):
    need(head.nonce == 0 and head.valid_to_epoch == b.epoch, "nonce or expiry")
    need(b.block_first < b.block_end <= 4096, "blocks")
    need(b.mb_count > 0 and b.mb_first + b.mb_count < 2 ** 32, "micro-batches")
    need(b.tokens > 0 and b.units > 0 and b.weight_step <= b.step, "range")
    need(head.author not in (b.upstream, b.downstream), "its own neighbour")


def check_epoch_close(b, head):
    pass


def check_deposit(b, head):
    need(0 < b.amount < MONEY_LIMIT, "amount")


def check_claim(b, head):
    need(b.amount < MONEY_LIMIT, "amount")


CHECKS = {GENESIS: check_genesis, ACCOUNT_OPEN: check_account_open, MODEL_REGISTER: check_model_register,
          RECEIPT: check_receipt, EPOCH_CLOSE: check_epoch_close, REVENUE_DEPOSIT: check_deposit, CLAIM: check_claim}


def signers(type_, author, body):
    """(role, account) of everyone whose signature belongs there, in order."""
    if type_ == RECEIPT:
        return [(AUTHOR, author), (UPSTREAM, body.upstream), (DOWNSTREAM, body.downstream)]
    return [(AUTHOR, author)]


def parse(data):
    if not 1 <= len(data) <= ENTRY_MAX:
        raise Malformed("length")
    r = Reader(data)
    need(r.take(4) == b"PLG1", "magic")
    type_, version, flags = r.integer(1), r.integer(1), r.integer(2)
    author, nonce, valid_to_epoch = r.take(32), r.integer(8), r.integer(8)
    inner = Reader(r.take(r.integer(2)))
    unsigned = data[:r.at]
    need(version == 1 and flags == 0 and type_ in BODIES, "version, flags or type")
    body = BODIES[type_].read(inner)
    inner.end()
    CHECKS[type_](body, Head(author, nonce, valid_to_epoch))
    signatures = []
    count = r.integer(1)
    need(1 <= count <= 8, "signature count")
    for _ in range(count):
        role, algorithm = r.integer(1), r.integer(1)
        need(algorithm == ED25519, "algorithm")
        account, length = r.take(32), r.integer(2)
        need(length == 64, "length of a signature")
        signatures.append(Signature(role, account, r.take(64)))
    r.end()
    need([s[:2] for s in signatures] == signers(type_, author, body), "signers")
    return Entry(type_, author, nonce, valid_to_epoch, body, unsigned, signatures)


def unsigned_part(type_, author, nonce, body, valid_to_epoch=NO_EXPIRY):
    raw = body.encode()
    return (b"PLG1" + bytes([type_, 1, 0, 0]) + author + nonce.to_bytes(8, "big") + valid_to_epoch.to_bytes(8, "big")
            + len(raw).to_bytes(2, "big") + raw)


def message(unsigned, origin):
    """What every signer signs."""
    return (b"pluralis.ledger/v1/" + unsigned[4:5] + b"\0" + hashlib.sha256(origin).digest()
            + hashlib.sha256(unsigned).digest())


def attach(unsigned, signatures):
    """signatures: (role, account, 64 bytes)."""
    return unsigned + bytes([len(signatures)]) + b"".join(
        bytes([role, ED25519]) + account + b"\0\x40" + raw for role, account, raw in sorted(signatures))
