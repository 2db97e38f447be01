"""Random histories and their mutations, judged by the library and by the replayer: the same code for every entry, the
same state root at every EpochClose and at the end, every identity after every entry.

PLR_TEST_FULL=1 makes the signed histories and the mutations longer.
"""
import collections
import os
import sys
import tempfile

from harness import check, main, need
from history import ORIGIN, Teller
from library import Library
from mutate import Mutator
from pluralis import log
from replayer import BadLog, check_everything, ed25519, entry as e, files, merkle, note, replay

FULL = os.environ.get("PLR_TEST_FULL") == "1"
LIBRARY, VERIFIER = Library(), ed25519.Verifier()


def same_summary(summary, machine):
    """The library's summary says what the replayer's state does."""
    total = machine.open
    found = (summary.entries, summary.rejected, summary.root, summary.epoch, summary.accounts, summary.models,
             summary.minted, summary.deposited, summary.paid)
    need(found == (machine.log.size, machine.rejected, machine.log.root, total.epoch, total.accounts, total.models,
                   total.minted, total.deposited, total.paid), "summary %r, state %r" % (summary, total))
    last = machine.state.get("Z")
    need(summary.state_root == (last.root if last else bytes(32)), "state root")


def told(codes):
    return "%d entries, %s" % (len(codes), ", ".join("%d %s" % (n, c) for c, n in
                                                     collections.Counter(codes).most_common()))


def every_type_worked(teller):
    worked = {data[4] for data, code in zip(teller.entries, teller.codes) if code == "OK"}
    need(worked == set(e.BODIES), "no entry of types %s worked" % sorted(set(e.BODIES) - worked))


def long_history(seed, count, **options):
    teller = Teller(seed, **options).run(count)
    check_everything(teller.state)
    every_type_worked(teller)
    summary = LIBRARY.verify(teller.export(), ORIGIN, teller.machine.key, skip_signatures=True)
    need(not isinstance(summary, str), "the library refuses the export: %s" % summary)
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
def signed_histories():
    """Signed histories with much that is wrong: the same code for every entry; the library's export, replayed."""
    codes = []
    for seed in range(12 if FULL else 3):
        teller = Teller(100 + seed, LIBRARY.sign, VERIFIER, invalid=0.3, epoch_length=60).run(1200)
        ledger, theirs = LIBRARY.codes(teller.entries, teller.seed_of_sequencer)
        for i, (ours, other) in enumerate(zip(teller.codes, theirs)):
            need(ours == other, "history %d, entry %d of type %d: %s, the library says %s: %r"
                 % (seed, i, teller.entries[i][4], ours, other, body_of(teller.entries[i])))
        same_summary(ledger.summary, teller.machine)
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
        codes += teller.codes
    return told(codes)


def body_of(data):
    try:
        return e.parse(data).body
    except ValueError as error:
        return error


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


@check
def mutations():
    """Valid histories with bytes, fields, signatures, nonces or the order changed: the same codes, the same state."""
    done, refused = collections.Counter(), 0
    for seed in range(8 if FULL else 2):
        teller = Teller(200 + seed, LIBRARY.sign, VERIFIER, invalid=0, epoch_length=20).run(220)
        mutator = Mutator(teller, VERIFIER)
        for _ in range(400 if FULL else 100):
            what, entries = mutator.mutated()
            machine, entries, ours = mutator.replayed(entries)
            ledger, theirs = LIBRARY.codes(entries, teller.seed_of_sequencer)
            if ours != theirs:
                at = next(i for i in range(len(ours)) if ours[i] != theirs[i])
                raise AssertionError("seed %d, %s: entry %d of type %d: %s, the library says %s: %r" % (
                    seed, what, at, entries[at][4], ours[at], theirs[at], body_of(entries[at])))
            same_summary(ledger.summary, machine)
            done[what.split()[0]] += 1
            refused += sum(code != "OK" for code in ours)
    need(refused > sum(done.values()), "nothing was refused")
    return ", ".join("%d %s" % (n, what) for what, n in sorted(done.items()))


@check
def damaged_exports():
    """An export with one byte changed is refused by both."""
    teller = Teller(9, LIBRARY.sign, VERIFIER, epoch_length=20).run(80)
    export, key = bytearray(teller.export()), teller.machine.key
    for at in range(0, len(export), 41):
        export[at] ^= 1 << at % 8
        need(isinstance(LIBRARY.verify(bytes(export), ORIGIN, key), str), "the library accepts byte %d" % at)
        try:
            replay(*files.read_export(bytes(export)), ORIGIN, key, VERIFIER)
            raise AssertionError("the replayer accepts byte %d" % at)
        except ValueError:
            pass
        export[at] ^= 1 << at % 8


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
