"""Entries, FORMAT.md section 1: layouts of the bodies, the ranges of their values, signatures."""
import hashlib
from collections import namedtuple

from .fields import Layout, Malformed, Reader, Version

(GENESIS, ACCOUNT_OPEN, KEY_ROTATE, MODEL_REGISTER, DATA_REGISTER, ASSIGN, COMMIT, RECEIPT, AUDIT_RESULT, DISPUTE,
 EVIDENCE, EPOCH_CLOSE, MILESTONE, REVENUE_DEPOSIT, INFERENCE_RECEIPT, TRANSFER, CLAIM, SLASH, SETTLEMENT_ROOT,
 PARAM_CHANGE) = range(1, 21)
AUTHOR, UPSTREAM, DOWNSTREAM, NEW_KEY, COUNTER = range(5)
CONTEST, REFUSED, ANSWER = range(3)  # kinds of Dispute
FORK, CONFLICT = range(2)  # kinds of Evidence
PASSED, FAILED = 1, 2  # verdicts
ED25519, NO_EXPIRY, MONEY_LIMIT, NOBODY = 1, 2 ** 64 - 1, 2 ** 63, bytes(32)
ENTRY_MAX, BPS = 65535, 10 ** 4

# (name, least, most, at first); receipt_window begins with Genesis's.
PARAMETERS = (("receipt_window", 1, 1024, None), ("audit_window", 1, 1024, 1), ("change_delay", 1, 1024, 2),
              ("recovery_delay", 1, 1024, 2), ("slash_delay", 0, 1024, 1), ("audit_bps", 0, BPS, 500),
              ("slash_bps", 0, BPS, 5000), ("bounty_bps", 0, BPS, 1000))

KEY = (("epoch", "u64"), ("model", 32), ("step", "u64"), ("lane", "u32"), ("block_first", "u32"), ("mb_first", "u32"))
RECEIPT_BODY = (("model", 32), ("profile", 32), ("epoch", "u64"), ("step", "u64"), ("mb_first", "u32"),
                ("mb_count", "u32"), ("block_first", "u32"), ("block_end", "u32"), ("lane", "u32"), ("tokens", "u32"),
                ("units", "u64"), ("frames_root", 32), ("weight_root", 32), ("weight_step", "u64"), ("upstream", 32),
                ("downstream", 32))
TERMS = (("model", 32), ("profile", 32), ("designer_bps", "u16"), ("data_bps", "u16"), ("data_account", 32),
         ("halving", "u128"), ("rate", "u64"), ("rate_divisor", "u64"), ("vest_epochs", "u32"), ("vest_cliff", "u32"),
         ("microbatch_tokens", "u32"), ("serving_bps", "u16"), ("milestone_epochs", "u32"),
         ("parents", ("list", "u8", (("parent", 32), ("bps", "u16")), 0, 4)))
COSTS = ("costs", ("list", "u32", (("cost", "u64"),)))

BODIES = {
    GENESIS: Layout(("rules", "rules"), ("origin", "origin"), ("algorithm", "algorithm"), ("key", 32),
                    ("currency", "currency"), ("decimals", "u8"), ("receipt_window", "u32"), ("treasurer", 32)),
    ACCOUNT_OPEN: Layout(("algorithm", "algorithm"), ("key", 32)),
    KEY_ROTATE: Layout(("way", "u8"), ("recovery_key", 32), ("algorithm", "algorithm"), ("key", 32), ("recovery", 32)),
    MODEL_REGISTER: Layout(*TERMS, COSTS),
    DATA_REGISTER: Layout(("model", 32), ("root", 32), ("bps", "u16"), ("tokens", "u64"), ("data_account", 32)),
    ASSIGN: Layout(("epoch", "u64")),
    COMMIT: Layout(("phase", "u8"), ("epoch", "u64"), ("value", 32)),
    RECEIPT: Layout(*RECEIPT_BODY),
    AUDIT_RESULT: Layout(*KEY, ("verdict", "u8"), ("trace_root", 32)),
    DISPUTE: Layout(("kind", "u8"), ("refusers", "u8"), *RECEIPT_BODY),
    EVIDENCE: Layout(("kind", "u8"), ("first", "text"), ("second", "text")),
    EPOCH_CLOSE: Layout(("epoch", "u64"), ("receipts", "u64"), ("units", "u128"), ("minted", "u128"),
                        ("deposited", "u64"), ("paid", "u64"), ("state_root", 32)),
    MILESTONE: Layout(("model", 32), ("number", "u32"), ("step", "u64"), ("weight_root", 32), ("report", 32),
                      ("witness", 32)),
    REVENUE_DEPOSIT: Layout(("model", 32), ("amount", "u64")),
    INFERENCE_RECEIPT: Layout(("model", 32), ("epoch", "u64"), ("session", 32), ("sequence", "u32"),
                              ("block_first", "u32"), ("block_end", "u32"), ("tokens", "u32"), ("units", "u64"),
                              ("price", "u64"), ("frames_root", 32), ("client", 32)),
    TRANSFER: Layout(("model", 32), ("to", 32), ("shares", "u64")),
    CLAIM: Layout(("model", 32), ("amount", "u64"), ("address", 20)),
    SLASH: Layout(("model", 32), ("account", 32)),
    SETTLEMENT_ROOT: Layout(("reward", 20), ("scale", "u8"), ("leaves", "u32"), ("total", "u64"), ("root", 32)),
    PARAM_CHANGE: Layout(("parameter", "u16"), ("value", "u64"), ("from_epoch", "u64")),
}

Signature = namedtuple("Signature", "role account bytes")
Head = namedtuple("Head", "author nonce valid_to_epoch")
Entry = namedtuple("Entry", "type author nonce valid_to_epoch body unsigned signatures")


def account_id(key):
    return hashlib.sha256(b"pluralis.account/v1" + key).digest()


def need(truth, what):
    if not truth:
        raise Malformed(what)


def known(truth, what):
    if not truth:
        raise Version(what)


def mint_ok(halving, rate, rate_divisor):
    if not halving or not rate or not rate_divisor:
        return False
    total = sum(rate >> k for k in range(64))
    return halving <= (2 ** 127 - 1) // total and halving * total // rate_divisor < 2 ** 63


def check_genesis(b, head):
    need(b.decimals <= 18 and 1 <= b.receipt_window <= 1024, "range")


def check_key_rotate(b, head):
    need(b.way <= 1 and (b.recovery_key == NOBODY) == (b.way == 0), "way")


def check_model_register(b, head):
    need(b.designer_bps + b.data_bps <= BPS, "bps")
    need((b.data_account == NOBODY) == (b.data_bps == 0), "data account")
    need(b.vest_epochs <= 1024 and b.vest_cliff <= b.vest_epochs, "vesting")
    need(b.microbatch_tokens > 0 and b.serving_bps <= BPS and b.milestone_epochs <= 1024, "range")
    need(mint_ok(b.halving, b.rate, b.rate_divisor), "mint")
    names = [parent for parent, _ in b.parents]
    need(names == sorted(set(names)) and b.model not in names, "parents")
    need(all(bps for _, bps in b.parents) and sum(bps for _, bps in b.parents) <= 5000, "royalties")


def check_data_register(b, head):
    need(1 <= b.bps <= BPS, "bps")


def check_commit(b, head):
    need(b.phase <= 1, "phase")


def check_work(b, author):
    need(b.block_first < b.block_end <= 4096, "blocks")
    need(b.mb_count > 0 and b.mb_first + b.mb_count < 2 ** 32, "micro-batches")
    need(b.tokens > 0 and b.units > 0 and b.weight_step <= b.step, "range")
    need(author not in (b.upstream, b.downstream), "its own neighbour")


def check_receipt(b, head):
    need(head.nonce == 0 and head.valid_to_epoch == b.epoch, "nonce or expiry")
    check_work(b, head.author)


def check_audit_result(b, head):
    need(b.verdict in (PASSED, FAILED), "verdict")


def check_dispute(b, head):
    if b.kind == REFUSED:
        need(1 <= b.refusers <= 3, "refusers")
        check_work(b, head.author)
    else:
        need(b.kind in (CONTEST, ANSWER) and b.refusers == 0, "kind")
        named = {name for name, _ in KEY}
        need(not any(any(getattr(b, name)) if isinstance(kind, int) else getattr(b, name)
                     for name, kind in RECEIPT_BODY if name not in named), "more than a receipt's key")


def check_evidence(b, head):
    need(b.kind in (FORK, CONFLICT), "kind")


def check_milestone(b, head):
    need(b.number > 0 and b.witness != head.author, "number or witness")


def check_deposit(b, head):
    need(0 < b.amount < MONEY_LIMIT, "amount")


def check_inference_receipt(b, head):
    need(head.nonce == 0 and head.valid_to_epoch == b.epoch, "nonce or expiry")
    need(b.block_first < b.block_end <= 4096 and b.tokens > 0 and b.units > 0, "work")
    need(b.price < MONEY_LIMIT and b.client != head.author, "price or client")


def check_transfer(b, head):
    need(0 < b.shares < MONEY_LIMIT and b.to != head.author, "shares or receiver")


def check_claim(b, head):
    need(b.amount < MONEY_LIMIT, "amount")


def check_settlement_root(b, head):
    need(b.scale <= 18, "scale")


def check_param_change(b, head):
    need(1 <= b.parameter <= len(PARAMETERS), "parameter")
    _, least, most, _ = PARAMETERS[b.parameter - 1]
    need(least <= b.value <= most, "value")


CHECKS = {GENESIS: check_genesis, KEY_ROTATE: check_key_rotate, DATA_REGISTER: check_data_register,
          COMMIT: check_commit, RECEIPT: check_receipt, AUDIT_RESULT: check_audit_result, DISPUTE: check_dispute,
          EVIDENCE: check_evidence,
          MILESTONE: check_milestone, REVENUE_DEPOSIT: check_deposit, INFERENCE_RECEIPT: check_inference_receipt,
          TRANSFER: check_transfer, CLAIM: check_claim, SETTLEMENT_ROOT: check_settlement_root,
          PARAM_CHANGE: check_param_change}


def signers(type_, author, b):
    """(role, account) of everyone whose signature belongs there, in order."""
    more = ()
    if type_ == KEY_ROTATE:
        more = (NEW_KEY, account_id(b.key)),
    elif type_ == DATA_REGISTER:
        more = (COUNTER, b.data_account),
    elif type_ == RECEIPT:
        more = (UPSTREAM, b.upstream), (DOWNSTREAM, b.downstream)
    elif type_ == DISPUTE and b.kind == REFUSED:
        more = [one for bit, one in enumerate(((UPSTREAM, b.upstream), (DOWNSTREAM, b.downstream)))
                if not b.refusers >> bit & 1]
    elif type_ == MILESTONE:
        more = (COUNTER, b.witness),
    elif type_ == INFERENCE_RECEIPT:
        more = (COUNTER, b.client),
    return [(AUTHOR, author), *more]


TERMS_ALONE = Layout(*TERMS)


def read_terms(r, head):
    """A model's terms are judged before its costs are read, and these one by one."""
    terms = TERMS_ALONE.read(r)
    count = r.integer(4)
    need(1 <= count <= 4096, "block count")
    check_model_register(terms, head)
    costs = []
    for _ in range(count):
        costs.append((r.integer(8),))
        need(costs[-1][0] > 0, "cost")
    return BODIES[MODEL_REGISTER].make(costs=costs, **{name: getattr(terms, name) for name, _ in TERMS})


def read_body(type_, r, head):
    if type_ == MODEL_REGISTER:
        return read_terms(r, head)
    body = BODIES[type_].read(r)
    if type_ in CHECKS:
        CHECKS[type_](body, head)
    return body


def parse(data):
    """The first fault, in the order that FORMAT.md gives, is the one that is told."""
    if not 1 <= len(data) <= ENTRY_MAX:
        raise Malformed("length")
    r = Reader(data)
    need(r.take(4) == b"PLG1", "magic")
    type_, version, flags = r.integer(1), r.integer(1), r.integer(2)
    author, nonce, valid_to_epoch, length = r.take(32), r.integer(8), r.integer(8), r.integer(2)
    known(version == 1 and flags == 0, "version or flags")
    inner = Reader(r.take(length))
    unsigned = data[:r.at]
    known(type_ in BODIES, "type")
    body = read_body(type_, inner, Head(author, nonce, valid_to_epoch))
    inner.end()
    signatures = []
    count = r.integer(1)
    need(1 <= count <= 8, "signature count")
    for _ in range(count):
        role, algorithm = r.integer(1), r.integer(1)
        known(algorithm == ED25519, "algorithm")
        account, length = r.take(32), r.integer(2)
        need(length == 64, "length of a signature")
        signatures.append(Signature(role, account, r.take(64)))
        need(len(signatures) < 2 or signatures[-2][:2] < signatures[-1][:2], "order of the signatures")
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
