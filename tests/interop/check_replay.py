"""Random histories and their mutations, judged by the library and by the replayer: the same code for every entry, the
same state root at every EpochClose and at the end, every identity after every entry.

PLR_TEST_FULL=1 makes the signed histories and the mutations longer.
"""
import collections
import os
import subprocess
import sys
import tempfile

import edge_cases
from harness import Skip, check, main, need
from history import ORIGIN, Teller
from library import ROOT, Library, code_of
from keys import seeds
from mutate import Mutator, scrambled
from pluralis import log, rebuild_ledger
from queries import check_queries
from replayer import BadLog, check_everything, ed25519, entry as e, files, merkle, note, replay
from replayer.fields import Malformed, u32, u64

FULL = os.environ.get("PLR_TEST_FULL") == "1"
LIBRARY, VERIFIER = Library(), ed25519.Verifier()


def same_summary(summary, machine):
    """The library's summary says what the replayer's state does."""
    total = machine.open
    found = (summary.entries, summary.rejected, summary.root, summary.epoch, summary.accounts, summary.models,
             summary.minted, summary.deposited, summary.paid)
    need(found == (machine.log.size, machine.rejected, machine.log.root, total.epoch, total.accounts, total.models,
                   total.minted, total.deposited, total.paid), "summary %r, state %r" % (tuple(summary), total))
    last = machine.state.get("Z")
    need(summary.state_root == (last.root if last else bytes(32)), "state root")


def told(codes):
    return "%d entries, %s" % (len(codes), ", ".join("%d %s" % (n, c) for c, n in
                                                     collections.Counter(codes).most_common()))


def every_type_worked(teller):
    worked = {data[4] for data, code in zip(teller.entries, teller.codes) if code == "OK"}
    need(worked == set(e.BODIES), "no entry of types %s worked" % sorted(set(e.BODIES) - worked))


def long_history(seed, count, all_types=True, **options):
    teller = Teller(seed, **options).run(count)
    check_everything(teller.state)
    if all_types:
        every_type_worked(teller)
    summary = LIBRARY.verify(teller.export(), ORIGIN, teller.machine.key, skip_signatures=True)
    need(not isinstance(summary, str), "the library refuses the export: %s" % (summary,))
    same_summary(summary, teller.machine)
    return told(teller.codes)


@check
def hundred_thousand():
    """100,000 random operations, 50 accounts, 5 models with forks: conservation after each, one state root."""
    return long_history(1, 100000)


@check
def deep_lineage():
    """A lineage of many models, deeper than is allowed."""
    return long_history(2, 8000, models=24, epoch_length=60)


@check
def extremes():
    """Work, shares and money up to what their fields hold."""
    out = []
    for seed in range(20 if FULL else 4):
        out.append(long_history(300 + seed, 2000, False, epoch_length=25, models=8, extreme=True))
    return out[-1]


@check
def signed_histories():
    """Signed histories with much that is wrong: the same code for every entry; export and tiles, replayed; balances."""
    codes = []
    for seed in range(12 if FULL else 3):
        teller = Teller(100 + seed, LIBRARY.sign, VERIFIER, invalid=0.3, epoch_length=60).run(1200)
        ledger, theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)
        same_codes(teller.entries, teller.codes, theirs, "history %d" % seed)
        same_summary(ledger.summary, teller.machine)
        check_queries(ledger, teller.machine, teller.people, LIBRARY.context)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "export")
            ledger.export(path)
            with open(path, "rb") as f:
                machine, again = replay(*files.read_export(f.read()), ORIGIN, teller.machine.key, VERIFIER)
            need(again == teller.codes, "codes of the export")
            same_summary(ledger.summary, machine)
            site = os.path.join(folder, "site")
            ledger.publish(site)
            need(files.read_site(site)[1] == teller.entries, "entries of the published tiles")
            same_summary(rebuild_ledger(LIBRARY.context, site, os.path.join(folder, "again"), origin=ORIGIN,
                                        public_key=teller.machine.key), machine)
        codes += teller.codes
    return told(codes)


def same_codes(entries, ours, theirs, what):
    for i, data in enumerate(entries):
        if ours[i] != theirs[i]:
            try:
                body = e.parse(data)
            except ValueError as error:
                body = error
            raise AssertionError("%s, entry %d: %s, the library says %s: %r" % (what, i, ours[i], theirs[i], body))


@check
def scrambled_entries():
    """Scrambled entries of every type: the same code."""
    teller = Teller(5, LIBRARY.sign, epoch_length=20).run(3000)
    by_type = [[one for one in teller.entries if one[4] == type_] for type_ in e.BODIES]
    need(all(by_type), "a type is missing")
    spoiled = [scrambled(teller.random, teller.random.choice(teller.random.choice(by_type)))
               for _ in range(100000 if FULL else 20000)]
    _, theirs = LIBRARY.codes(teller.entries[:1] + spoiled, teller.seed_of_sequencer)
    count = collections.Counter()
    for data, code in zip(spoiled, theirs[1:]):
        ours = form_of(data)
        unreadable = code in ("MALFORMED", "TRUNCATED", "VERSION")
        need(ours == (code if unreadable else "OK"), "%s, the library says %s: %s" % (ours, code, data.hex()[:300]))
        count[ours] += 1
    return ", ".join("%d %s" % (n, code) for code, n in count.most_common())


def form_of(data):
    try:
        e.parse(data)
        return "OK"
    except Malformed as error:
        return type(error).__name__.upper()


@check
def wrong_closes():
    """An EpochClose that miscounts: no effect, the same code; a log that has one is refused by both."""
    teller = Teller(7, LIBRARY.sign, VERIFIER, invalid=0.3, epoch_length=10, wrong_closes=True).run(300)
    need(teller.machine.wrong_closes > 0, "none was told")
    ledger, theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)
    need(theirs == teller.codes, "codes")
    need(LIBRARY.verify(teller.export(), ORIGIN, teller.machine.key) == "MISMATCH", "the library's verdict")
    try:
        replay(*files.read_export(teller.export()), ORIGIN, teller.machine.key, VERIFIER)
    except BadLog:
        return told(theirs)
    raise AssertionError("the replayer's verdict")


SHORT = dict(invalid=0, epoch_length=15)


def varied_seeds(count, **options):
    """Seeds of short histories in which an entry of every type works; signatures do not change what is told."""
    found, seed = [], 200
    while len(found) < count:
        teller, seed = Teller(seed, **options).run(320), seed + 1
        if {data[4] for data, code in zip(teller.entries, teller.codes) if code == "OK"} == set(e.BODIES):
            found.append(seed - 1)
        need(seed < 400, "no such history")
    return found


@check
def mutations():
    """Valid histories with bytes, fields, signatures, nonces or the order changed: the same codes, the same state."""
    done, refused = collections.Counter(), 0
    for seed in varied_seeds(2, **SHORT):
        teller = Teller(seed, LIBRARY.sign, VERIFIER, **SHORT).run(320)
        mutator = Mutator(teller, VERIFIER)
        for _ in range(500 if FULL else 50):
            what, entries = mutator.mutated()
            machine, entries, ours = mutator.replayed(entries)
            ledger, theirs = LIBRARY.codes(entries, teller.seed_of_sequencer)
            same_codes(entries, ours, theirs, "history %d, %s" % (seed, what))
            same_summary(ledger.summary, machine)
            done[what.split()[0]] += 1
            refused += sum(code != "OK" for code in ours)
    need(refused > sum(done.values()), "nothing was refused")
    return ", ".join("%d %s" % (n, what) for what, n in sorted(done.items()))


@check
def evidence_counts_once():
    """Evidence of one thing counts once, in whatever bytes it comes."""
    teller = Teller(12, LIBRARY.sign, VERIFIER, invalid=0, epoch_length=10 ** 9)
    teller.run(120)
    receipts = [e.parse(one) for one, code in zip(teller.entries, teller.codes) if one[4] == e.RECEIPT and code == "OK"]
    one, author, found = receipts[0], teller.people[1], len(teller.entries)
    lies = []
    for i in range(3):
        body = one.body.copy()
        body.frames_root, body.mb_count = bytes([i]) * 32, one.body.mb_count + i
        body.upstream = next(p for p in teller.people[i:] if p not in (one.author, one.body.upstream))
        lies.append(body)

    def receipt(body, junk=0):
        unsigned = e.unsigned_part(e.RECEIPT, one.author, 0, body, body.epoch)
        return e.attach(unsigned, [(role, account, LIBRARY.sign(seeds[teller.public(account)], e.message(
            unsigned, ORIGIN.encode())) if role == e.AUTHOR else bytes([junk]) * 64)
            for role, account in e.signers(e.RECEIPT, one.author, body)])

    def submit(first, second, kind=e.CONFLICT):
        return teller.add(teller.signed(e.EVIDENCE, author, e.BODIES[e.EVIDENCE].make(
            kind=kind, first=first, second=second)))

    forks = [teller.checkpoint(7, bytes([i]) * 32) for i in range(3)]
    codes = [submit(receipt(one.body), receipt(lies[0])), submit(receipt(lies[0]), receipt(one.body)),
             submit(receipt(one.body, 1), receipt(lies[0], 2)), submit(receipt(one.body), receipt(lies[1])),
             submit(receipt(lies[1]), receipt(lies[2])),
             submit(forks[0], forks[1], e.FORK), submit(forks[1], forks[0], e.FORK),
             submit(forks[0] + b"\xe2\x80\x94 x AAAAAAAA\n", forks[1], e.FORK), submit(forks[0], forks[2], e.FORK)]
    theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)[1][found:]
    need(theirs == codes, "the library says %s, the replayer %s" % (theirs, codes))
    need(codes == ["OK"] + ["EXISTS"] * 4 + ["OK"] + ["EXISTS"] * 2 + ["OK"], codes)


@check
def squatters():
    """Who says that neighbours refuse to sign takes nobody's place: a signed Receipt is worth more."""
    teller = Teller(13, LIBRARY.sign, VERIFIER, invalid=0, epoch_length=10 ** 9)
    teller.run(60)
    terms = next(t for t in (teller.state.get("M", model) for model in teller.models) if len(t.costs) > 2)
    worker, up, down, stranger = teller.people[1:5]

    def work(first, end, **more):
        return dict(model=terms.model, profile=terms.profile, epoch=teller.epoch, step=9, mb_first=4, mb_count=2,
                    block_first=first, block_end=end, lane=3, tokens=1, frames_root=bytes(32), upstream=up,
                    units=sum(cost for cost, in terms.costs[first:end]), downstream=down, **more)

    def refused(author, first, end):
        return teller.add(teller.signed(e.DISPUTE, author, e.BODIES[e.DISPUTE].make(
            kind=e.REFUSED, refusers=3, **work(first, end))))

    def receipt(author, first, end):
        body = e.BODIES[e.RECEIPT].make(**work(first, end))
        return teller.add(teller.signed(e.RECEIPT, author, body, 0, teller.epoch))

    found = len(teller.entries)
    codes = [refused(stranger, 0, 1), refused(stranger, 1, 2), refused(worker, 0, 2), receipt(worker, 0, 2),
             receipt(worker, 1, 2), refused(stranger, 1, 3), refused(stranger, 2, 3), receipt(worker, 2, 3)]
    need(codes == ["OK", "OK", "EXISTS", "OK", "EXISTS", "EXISTS", "OK", "OK"], codes)
    for kind, most in (("R", 2), ("J", 0)):
        left = [key for key in teller.state.keys(kind) if key[41:53] == u64(9) + u32(3)]
        need(len(left) == most, "%d %s records are left" % (len(left), kind))
    teller.add(teller.close())
    codes = teller.codes[found:]
    ledger, theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)
    need(theirs[found:] == codes, "the library says %s, the replayer %s" % (theirs[found:], codes))
    same_summary(ledger.summary, teller.machine)


@check
def a_life_told_in_c():
    """A life of every type of entry that the library's own test tells, replayed from its export alone"""
    test = os.path.join(ROOT, "build", "release", "tests", "test_ledger_history")
    if not os.path.exists(test):
        raise Skip("tests/test_ledger_history is not built")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "life.plr")
        output = subprocess.run([test], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
                              env=dict(os.environ, PLR_HISTORY_EXPORT=path, PLR_HISTORY_BELIEVE="1",
                                       PLR_HISTORY_ENTRIES="100000" if FULL else "8000")).stdout
        said = dict(line.split() for line in output.splitlines() if line.startswith(("key ", "state ")))
        with open(path, "rb") as f:
            machine, codes = replay(*files.read_export(f.read()), "example.org/test", bytes.fromhex(said["key"]),
                                    VERIFIER, True)
    need(machine.state.root().hex() == said["state"], "the state is %s" % machine.state.root().hex())
    return told(codes)


@check
def strange_signatures():
    """Entries with keys and signatures of every class of edge case: the same codes, alone and in batches."""
    teller = Teller(15, LIBRARY.sign, VERIFIER, invalid=0, epoch_length=10 ** 9)
    teller.run(40)
    keys, found = edge_cases.points(edge_cases.SECRET), len(teller.entries)

    def told(type_, author, nonce, body, key, secret, r_raw, r):
        unsigned = e.unsigned_part(type_, author, nonce, body)
        raw, _ = edge_cases.signature(key, secret, r_raw, r, e.message(unsigned, ORIGIN.encode()))
        return teller.add(e.attach(unsigned, [(e.AUTHOR, author, raw)]))

    for _, key, _, secret in keys:
        for _, r_raw, _, r in edge_cases.points(edge_cases.NONCE):
            told(e.ACCOUNT_OPEN, e.account_id(key), 1, e.BODIES[e.ACCOUNT_OPEN].make(algorithm=1, key=key), key, secret,
                 r_raw, r)
    key = next(raw for name, raw, _, _ in keys if name == "mixed 0")
    author = e.account_id(key)
    for _, r_raw, _, r in edge_cases.points(edge_cases.NONCE) * 3:
        told(e.REVENUE_DEPOSIT, author, teller.nonce(author), e.BODIES[e.REVENUE_DEPOSIT].make(
            model=teller.models[0], amount=1), key, edge_cases.SECRET, r_raw, r)
    for i in range(2000 if FULL else 250):  # good ones and others side by side
        author = teller.random.choice(teller.people[:20])
        data = teller.numbered(e.REVENUE_DEPOSIT, author, model=teller.models[0], amount=1)
        teller.add(data[:-64] + (edge_cases.changed(teller.random, data[-64:]) if i % 3 else data[-64:]))
    ledger, theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)
    same_codes(teller.entries, teller.codes, theirs, "edge cases")
    ledger = LIBRARY.ledger(teller.entries[0], teller.seed_of_sequencer)
    for data, code in zip(teller.entries[1:], teller.codes[1:]):  # one at a time
        need(code_of(ledger.append_many([data])[0].error) == code, "alone: not %s" % code)
    count = collections.Counter(teller.codes[found:])
    need(count["OK"] > 50 and count["SIGNATURE"] > 600, count)


@check
def sessions():
    """A session is its client's: others who name it take nothing from it."""
    teller = Teller(14, LIBRARY.sign, VERIFIER, invalid=0, epoch_length=10 ** 9)
    teller.run(60)
    model = teller.models[0]
    (cost,), = teller.state.get("M", model).costs[:1]

    def serve(server, client, sequence):
        return teller.add(teller.signed(e.INFERENCE_RECEIPT, server, e.BODIES[e.INFERENCE_RECEIPT].make(
            model=model, epoch=teller.epoch, session=b"s" * 32, sequence=sequence, block_first=0, block_end=1, tokens=1,
            units=cost, frames_root=bytes(32), client=client), 0, teller.epoch))

    a, b, stranger, friend = teller.people[1:5]
    found = len(teller.entries)
    codes = [serve(a, b, 1), serve(stranger, friend, 1), serve(stranger, friend, 2), serve(a, b, 2), serve(a, b, 1)]
    need(codes == ["OK"] * 4 + ["EXISTS"], codes)
    theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)[1]
    need(theirs[found:] == codes, "the library says %s" % theirs[found:])


@check
def damaged_exports():
    """An export with one byte changed, cut short or grown is refused by both."""
    teller = Teller(9, LIBRARY.sign, VERIFIER, epoch_length=20).run(80)
    export, key = teller.export(), teller.machine.key

    def refused(data, what):
        need(isinstance(LIBRARY.verify(data, ORIGIN, key), str), "the library accepts it %s" % what)
        try:
            replay(*files.read_export(data), ORIGIN, key, VERIFIER)
        except ValueError:
            return
        raise AssertionError("the replayer accepts it %s" % what)

    for at in range(0, len(export), 11 if FULL else 97):
        refused(export[:at] + bytes([export[at] ^ 1 << at % 8]) + export[at + 1:], "with byte %d changed" % at)
        refused(export[:at], "cut at %d" % at)
    first = teller.entries[0]
    for more in (b"\0", b"\0\0", b"\0\1x", len(first).to_bytes(2, "big") + first):
        refused(export + more, "with %d bytes more" % len(more))


@check
def published_sizes():
    """Logs of sizes about the widths of tiles: the library's tiles, roots and proofs are the replayer's."""
    teller = Teller(11, LIBRARY.sign, epoch_length=50).run(530)
    ledger = LIBRARY.ledger(teller.entries[0], teller.seed_of_sequencer)
    hashes, size = [merkle.leaf_hash(one) for one in teller.entries], 1
    with tempfile.TemporaryDirectory() as site:
        for wanted in (1, 2, 3, 255, 256, 257, 511, 512, 513, 530):
            ledger.append_many(teller.entries[size:wanted])
            size = wanted
            found, root = note.open_checkpoint(ledger.checkpoint(), ORIGIN, teller.machine.key, VERIFIER)
            need((found, root) == (size, merkle.root_of(hashes[:size])), "root of %d" % size)
            ledger.publish(site)
            need(files.read_site(site)[1] == teller.entries[:size], "site of %d" % size)
            for index in {0, size // 2, size - 1}:
                proof = ledger.prove_inclusion(index, size)
                need(proof == merkle.inclusion(hashes[:size], index), "inclusion %d in %d" % (index, size))
                old = index + 1
                need(ledger.prove_consistency(old, size) == merkle.consistency(hashes[:size], old), "consistency")
    first, second = [teller.checkpoint(5, bytes([i]) * 32) for i in range(2)]
    log.verify_fork(first, second, ORIGIN, teller.machine.key)


if __name__ == "__main__":
    sys.exit(main())
