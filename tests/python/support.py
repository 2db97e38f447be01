"""What the Python tests share. Importing it puts the checkout's package first and counts calls of C functions."""
import copy
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(ROOT, "bindings", "python")
sys.path.insert(0, PACKAGE)

import pluralis  # noqa: E402
from pluralis import _load  # noqa: E402

called = {}


class Counted:
    """A C function that counts its calls."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, *arguments):
        called[self.name] = called.get(self.name, 0) + 1
        return self.function(*arguments)


if not called:
    for _name, _function in list(vars(_load.C).items()):
        if not isinstance(_function, Counted):
            setattr(_load.C, _name, Counted(_name, _function))

ORIGIN = "example.org/test"
TEXT = b"In the beginning was the Word, and the Word was with God. " * 200

MANIFEST = {
    "format": "pluralis-model/1", "name": "small", "family": "llama", "vocab": "bytes", "blocks": 4, "d_model": 16,
    "heads": 2, "kv_heads": 1, "head_dim": 8, "d_ff": 32, "norm_eps": 1e-5, "rope_theta": 10000, "init_std": 0.05,
    "embed_std": 1.0, "seed": 1, "cuts": [1, 2, 3],
    "boundary": {"kind": "subspace", "rank": 4, "seed": 7, "anchor_std": 1.0},
    "train": {"seq_len": 8, "micro_batch": 2, "micro_batches": 4, "optimizer": "adamw", "lr": 3e-3,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
              "schedule": "cosine", "warmup_steps": 3, "steps": 40, "data_seed": 3}}


def manifest(**changes):
    """MANIFEST with keys changed; those of "train" as train={...}."""
    out = copy.deepcopy(MANIFEST)
    out["train"].update(changes.pop("train", {}))
    out.update(changes)
    return out


def seed(number):
    return bytes([number]) * 32


def python(code, **env):
    """Runs code in a new interpreter; (exit status, stdout, stderr)."""
    merged = dict(os.environ, PYTHONPATH=PACKAGE, PLURALIS_LIBRARY=pluralis.library_path)
    merged.update({name: value for name, value in env.items() if value is not None})
    for name, value in env.items():
        if value is None:
            merged.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=merged, timeout=120)
    return done.returncode, done.stdout, done.stderr
