"""ModelRegister, DataRegister, Milestone."""
from . import entry as e
from .machine import refuse_unless, rule


def terms_of(m, model):
    found = m.state.get("M", model)
    refuse_unless(found, "NOT_FOUND", "model")
    return found


def mark(m, model):
    """The model has something to do at the EpochClose."""
    m.state.edit_or_make("O", model)


@rule(e.MODEL_REGISTER)
def model_register(m, entry):
    b = entry.body
    refuse_unless(m.state.get("M", b.model) is None, "EXISTS", "model")
    if b.data_bps:
        m.account(b.data_account)
    depth = 0
    for parent, _ in b.parents:
        depth = max(depth, 1 + terms_of(m, parent).depth)
    refuse_unless(depth <= 8, "LIMIT", "depth")
    m.state.make("M", b.model, designer=entry.author, registered=m.epoch, depth=depth,
                 **{name: getattr(b, name) for name, _ in b.layout.fields})
    m.state.make("T", b.model, milestone_epoch=m.epoch)
    m.state.edit("E").models += 1


@rule(e.DATA_REGISTER)
def data_register(m, entry):
    b = entry.body
    terms = terms_of(m, b.model)
    refuse_unless(b.data_account == terms.data_account != e.NOBODY, "MISMATCH", "data account")
    refuse_unless(m.state.get("B", b.model, b.root) is None, "EXISTS", "dataset")
    t = m.state.edit("T", b.model)
    refuse_unless(t.datasets < 64 and t.datasets_bps + b.bps <= terms.data_bps, "LIMIT", "datasets")
    m.state.make("B", b.model, b.root, account=entry.author, bps=b.bps, base=t.minted, registered=m.epoch,
                 tokens=b.tokens)
    t.datasets += 1
    t.datasets_bps += b.bps


@rule(e.MILESTONE)
def milestone(m, entry):
    b = entry.body
    terms = terms_of(m, b.model)
    refuse_unless(entry.author == terms.designer, "MISMATCH", "author")
    t = m.state.edit("T", b.model)
    refuse_unless(b.number == t.milestones + 1, "SEQUENCE", "number")
    t.milestones += 1
    t.milestone_epoch = m.epoch
    if terms.milestone_epochs:
        t.confirmed = 1
        mark(m, b.model)
