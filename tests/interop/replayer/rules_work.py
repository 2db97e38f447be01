"""Receipt and InferenceReceipt."""
from . import entry as e
from . import money
from .fields import u32, u64
from .machine import refuse_unless, rule
from .rules_model import terms_of

NOT_COUNTED = 2 ** 64 - 1
ACCEPTED, STANDS, FAILED, WAITS = range(4)  # standings


def receipt_key(b):
    return u64(b.epoch), b.model, u64(b.step), u32(b.lane), u32(b.block_first, b.mb_first)



def meet(first, end, other_first, other_end):
    return first < other_end and other_first < end


def overlap(a, b):
    """a, b: (block_first, block_end, mb_first, mb_count) of the same epoch, model, step and lane."""
    if not meet(a[0], a[1], b[0], b[1]):
        return False
    return a[:2] != b[:2] or meet(a[2], a[2] + a[3], b[2], b[2] + b[3])


def where(b):
    return b.block_first, b.block_end, b.mb_first, b.mb_count


def check_units(terms, b):
    cost = sum(cost for cost, in terms.costs[b.block_first:b.block_end])
    refuse_unless(cost < 2 ** 64 and b.tokens * cost < 2 ** 64 and b.units == b.tokens * cost, "MISMATCH", "units")


def overlapped(m, b):
    """Keys of the records that work overlaps."""
    for key in m.state.keys("R", *receipt_key(b)[:4]):
        r = m.state.records[key]
        other = (int.from_bytes(key[53:57], "big"), r.block_end, int.from_bytes(key[57:61], "big"), r.mb_count)
        if overlap(where(b), other):
            yield key


def check_work(m, b, refused=False):
    """The rules of a Receipt before those of its signatures. refused: of a Dispute about work that is not signed."""
    refuse_unless(m.open.oldest <= b.epoch <= m.epoch, "SEQUENCE", "epoch")
    terms = terms_of(m, b.model)
    refuse_unless(b.profile == terms.profile, "MISMATCH", "profile")
    refuse_unless(b.block_end <= len(terms.costs), "MISMATCH", "blocks")
    refuse_unless(b.tokens <= b.mb_count * terms.microbatch_tokens, "MISMATCH", "tokens")
    check_units(terms, b)
    for key in overlapped(m, b):
        refuse_unless(not refused and m.state.records[key].standing == WAITS, "EXISTS", "receipt")


def write_receipt(m, b, worker, standing):
    return m.state.make("R", *receipt_key(b), worker=worker, units=b.units, tokens=b.tokens, block_end=b.block_end,
                        mb_count=b.mb_count, counted=NOT_COUNTED, standing=standing)


def count(m, model, r):
    for record in (m.state.edit_or_make("O", model), m.state.edit_or_make("W", model, r.worker)):
        record.units += r.units
        record.receipts += 1
    r.counted = m.epoch


def take_back(m, model, r):
    if r.counted == m.epoch:
        for record in (m.state.edit("O", model), m.state.edit("W", model, r.worker)):
            record.units -= r.units
            record.receipts -= 1
        r.counted = NOT_COUNTED


@rule(e.RECEIPT, numbered=False)
def receipt(m, entry):
    b = entry.body
    check_work(m, b)
    m.check_signatures(entry)
    for key in list(overlapped(m, b)):
        m.state.take(key)
        m.state.take(b"J", key[1:])
    count(m, b.model, write_receipt(m, b, entry.author, ACCEPTED))
    if b.block_first == 0:
        m.state.edit("O", b.model).data += b.tokens
        m.state.edit_or_make("W", b.model, b.upstream).data += b.tokens


@rule(e.INFERENCE_RECEIPT, numbered=False)
def inference_receipt(m, entry):
    b = entry.body
    refuse_unless(m.open.oldest <= b.epoch <= m.epoch, "SEQUENCE", "epoch")
    terms = terms_of(m, b.model)
    refuse_unless(b.block_end <= len(terms.costs), "MISMATCH", "blocks")
    check_units(terms, b)
    place = u64(b.epoch), b.client, b.session, u32(b.sequence)
    for key in m.state.keys("I", *place):
        first = int.from_bytes(key[77:], "big")
        refuse_unless(not meet(b.block_first, b.block_end, first, m.state.records[key].block_end), "EXISTS", "receipt")
    client = m.state.get("U", b.model, b.client)
    spent, deposited = (client.spent, client.deposited) if client else (0, 0)
    refuse_unless(spent + b.price <= deposited, "LIMIT", "price")
    m.check_signatures(entry)
    m.state.make("I", *place, u32(b.block_first), server=entry.author, block_end=b.block_end)
    t = m.state.edit("T", b.model)
    t.served += b.units
    if b.price:
        y = money.serving(spent + b.price, terms) - money.serving(spent, terms)
        m.state.edit("U", b.model, b.client).spent += b.price
        t.escrow -= y
        t.served_paid += y
        t.credited += y
        open_holding(m, b.model, entry.author).credited += y


def open_holding(m, model, account):
    h = m.state.edit("H", model, account)
    if h is None:
        t = m.state.edit("T", model)
        h = m.state.make("H", model, account, snap=t.acc)
        t.holders += 1
    return h
