"""What the library answers about a ledger, next to what the replayer's state says."""
from harness import need
from pluralis import settlement as theirs
from replayer import keccak, money
from replayer.rules_money import settlement


def check_models(ledger, machine):
    state = machine.state
    for key in state.keys("T"):
        model, t, terms = key[1:], state.records[key], state.get("M", key[1:])
        o, found = state.get("O", model), ledger.model(model)
        want = dict(block_count=len(terms.costs), designer=terms.designer, supply=money.supply(t), holders=t.holders,
                    units=t.work, epoch_units=o.units if o else 0, receipts=t.receipts, deposited=t.deposited,
                    paid=t.paid, held=t.held, minted=t.minted, burned=t.burned, provisional=t.provisional,
                    royalty_in=t.royalty_in, royalty_out=t.royalty_out, escrow=t.escrow, served_paid=t.served_paid,
                    served=t.served, data_tokens=t.data, parent_count=len(terms.parents), depth=terms.depth,
                    milestones=t.milestones, datasets=t.datasets)
        for name, value in want.items():
            need(getattr(found, name) == value, "model %s: %s is %r, ours %r" % (model.hex(), name,
                                                                                getattr(found, name), value))
        need(ledger.parents(model) == terms.parents, "parents")


def balance_of(machine, account, model):
    """(shares, vested, payable, paid, units, receipts, data) now."""
    state, t, terms = machine.state, machine.state.get("T", model), machine.state.get("M", model)
    h, w = state.get("H", model, account), state.get("W", model, account)
    units, receipts, data = (w.units, w.receipts, w.data) if w else (0, 0, 0)
    if h is None:
        return 0, 0, 0, 0, units, receipts, data
    credited = h.credited + ((t.acc - h.snap) * h.shares + h.fraction) // money.SCALE
    return (h.shares, money.vested(h, machine.epoch, terms), credited - h.paid, h.paid, h.units + units,
            h.receipts + receipts, h.data + data)


def check_balances(ledger, machine, people):
    for key in machine.state.keys("T"):
        for account in people:
            b, want = ledger.balance(account, key[1:]), balance_of(machine, account, key[1:])
            found = b.shares, b.vested, b.payable, b.paid, b.units, b.receipts, b.data_tokens
            need(found == want, "balance %r, ours %r" % (found, want))
        holders = [k[33:] for k in machine.state.keys("H", key[1:])]
        need([b.account for b in ledger.holders(key[1:], page=7)] == holders, "holders")
    for account in people:
        found = machine.state.get("A", account)
        need(ledger.next_nonce(account) == (found.nonce + 1 if found else 1), "nonce")


def check_settlement(ledger, machine, context):
    reward, scale = b"\xab" * 20, 9
    if not machine.state.keys("L"):
        return
    count, total, tree = settlement(machine, reward, scale)
    leaves = ledger.settlement_leaves(reward, scale, page=3)
    need(len(leaves) == count and sum(leaf.claimable for leaf in leaves) == total * 10 ** scale, "leaves")
    need(theirs.root(context, leaves) == tree.root, "settlement root")
    for i, leaf in enumerate(leaves):
        proof = theirs.prove(context, leaves, i)
        theirs.verify(leaf, proof, tree.root)
        need(keccak.proof_root(keccak.claim_leaf(*leaf), proof) == tree.root and proof == tree.proof(i), "a proof")


def check_queries(ledger, machine, people, context):
    check_models(ledger, machine)
    check_balances(ledger, machine, people)
    check_settlement(ledger, machine, context)
