"""Random sequences of calls, most of them wrong in some way. Run as a program by test_misuse.py, so that a crash is
seen:  misuse.py SEED COUNT SECONDS. Each sequence depends on the seed, its number and what earlier ones left."""
import collections
import faulthandler
import gc
import inspect
import io
import os
import random
import resource
import sys
import tempfile
import threading
import time
from array import array

from pipeline import Pipeline
from support import MANIFEST, ORIGIN, TEXT, manifest, pluralis, seed

NUMBERS = [0, 1, 2, 3, 4, 8, 16, 18, 255, 256, -1, 65535, 65536, 10 ** 9, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32,
           2 ** 53, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1, 2 ** 64, -2 ** 63, 1.5, float("nan"), True]
JUNK = [None, "", "text", "a\0b", b"", b"bytes", bytearray(7), [], [1, 2], {}, (), object(), array("d", [1.0]), int,
        memoryview(b"abcd"), "raw", "int4+zstd", "train", "upstream", seed(1), seed(2), ORIGIN, {"format": "x"}]
HANDLES = ("Context", "Identity", "Model", "Corpus", "Shard", "Encoder", "Decoder", "Link", "Stage", "Feeder", "Ledger",
           "Source", "Sink", "Job", "Tensor")
FUNCTIONS = [getattr(pluralis, name) for name in pluralis.__all__ if inspect.isfunction(getattr(pluralis, name))] + [
    getattr(pluralis.entries, name) for name in ("account_open", "model_register", "revenue_deposit", "claim")] + [
    getattr(pluralis.log, name) for name in ("leaf_hash", "verify_inclusion", "verify_consistency",
                                             "verify_checkpoint", "vkey")]
SHAPES = [(16, 4), (16, 4), (16, 256), (2, 9), (4, 4), (1, 1), (0, 3), (18,), (256,), (2, 3, 4), (1, 1, 1, 1)]
DTYPES = ["float32"] * 5 + ["int32", "int32", "float16", "bfloat16", "uint8"]


class Broken(io.BytesIO):
    """A file object that fails now and then."""

    draw = random.Random(0)

    def read(self, *arguments):
        if self.draw.random() < 0.3:
            raise RuntimeError("broken")
        return super().read(*arguments)

    def write(self, data):
        if self.draw.random() < 0.3:
            raise KeyError("broken")
        return super().write(data)


class World:
    def __init__(self, number, folder):
        self.draw, self.folder = random.Random(number), folder
        self.pool = collections.defaultdict(list)
        self.frames, self.files = [b""], [b""]
        self.outcomes = collections.Counter()
        self.pipeline = None

    # ---- values -----------------------------------------------------------------------------

    def any_of(self, kind):
        if not self.pool[kind] or self.draw.random() < 0.02:
            made = self.attempt(self.make, kind)
            if made is not None:
                self.keep(made)
        if not self.pool[kind]:
            return None
        chosen = self.draw.choice(self.pool[kind])
        if getattr(chosen, "closed", False) and self.draw.random() < 0.3:  # used closed, then no more
            self.pool[kind].remove(chosen)
        return chosen

    def keep(self, value):
        kind = type(value).__name__
        if kind in HANDLES:
            self.pool[kind].append(value)
            if len(self.pool[kind]) > 4:
                del self.pool[kind][self.draw.randrange(5)]
        elif isinstance(value, bytes) and len(value) < 1 << 20:
            some = self.frames if len(value) != 32 else self.files
            some.append(value)
            del some[:-8]

    def tensor(self):
        shape, dtype = self.draw.choice(SHAPES), self.draw.choice(DTYPES)
        t = pluralis.Tensor(shape, dtype)
        way = self.draw.randrange(6)
        if way == 0:
            return t.data
        if way == 1:
            return t.data.toreadonly()
        if way == 2:
            return pluralis.Tensor.from_dlpack(t.__dlpack__(max_version=self.draw.choice([None, (1, 0)])))
        if way == 3 and t.size:
            t.flat[self.draw.randrange(t.size)] = 1
        return t

    def good(self, name):
        """A value of the kind that a parameter of this name takes."""
        draw = self.draw
        by_name = {
            "context": "Context", "identity": "Identity", "author": "Identity", "sequencer": "Identity",
            "shard": "Shard", "corpus": "Corpus", "link": "Link", "job": "Job", "model": "Model"}
        if name in by_name:
            return self.any_of(by_name[name])
        if name in ("x", "out", "grad_out", "logits", "value", "labels", "buffer"):
            return draw.choice([self.tensor, self.tensor, lambda: None, lambda: bytearray(4096)])()
        if name in ("tokens", "prompt"):
            return draw.choice([[1] * 18, b"some text", [255] * 16, list(range(18)), [], [256], [-1], self.tensor()])
        if name in ("frame", "data", "payload", "entry", "note", "receipt", "text"):
            return self.bytes_of(self.frames) if draw.random() < 0.8 else TEXT
        if name in ("origin", "target", "origin_file", "path"):
            path = os.path.join(self.folder, str(draw.randrange(3)))
            return draw.choice([path, io.BytesIO(self.bytes_of(self.files)), Broken(self.bytes_of(self.frames)),
                                self.any_of("Source"), self.any_of("Sink"), ORIGIN,
                                ORIGIN, self.bytes_of(self.frames), None])
        if name in ("seed", "nonce", "public_key", "profile", "account", "leaf", "root", "old_root", "new_root"):
            return draw.choice([seed(1), seed(2), 1, 2])
        if name in ("proof", "leaves", "entries", "costs"):
            return draw.choice([[seed(1)] * draw.randrange(70), [self.bytes_of(self.frames)], [1, 2, 3, 4], []])
        if name == "manifest":
            return draw.choice([MANIFEST, manifest(seed=2), manifest(train={"seq_len": 16, "micro_batch": 3}),
                                manifest(boundary={"kind": "dense"}, blocks=2, cuts=[1])])
        strings = {"codec_": ["raw", "bf16", "int8", "int4", "int4+zstd"], "side": ["upstream", "downstream"],
                   "split": ["train", "validation"], "role": list(pluralis.exchange.ROLES), "dtype": DTYPES,
                   "forward_codec": ["raw", "int8"], "backward_codec": ["raw", "int8"], "shape": SHAPES,
                   "device": ["cpu"], "isa": ["best", "portable"], "max_version": [(1, 0), None],
                   "threads": [1, 2], "logger": [False], "progress": [print_nothing, None]}
        if name in strings:
            return draw.choice(strings[name])
        return draw.choice(NUMBERS[:9])

    def bytes_of(self, some):
        data = self.draw.choice(some)
        if data and self.draw.random() < 0.4:
            data = bytearray(data)
            for _ in range(self.draw.choice([1, 1, 3])):
                data[self.draw.randrange(len(data))] ^= 1 << self.draw.randrange(8)
            data = bytes(data[:self.draw.choice([len(data), self.draw.randrange(len(data) + 1)])])
        return data

    def value(self, name):
        roll = self.draw.random()
        if roll < 0.85:
            return self.good(name)
        if roll < 0.92:
            return self.draw.choice(NUMBERS)
        if roll < 0.97:
            return self.draw.choice(JUNK)
        return self.any_of(self.draw.choice(HANDLES))

    def arguments(self, function):
        positional, named = [], {}
        for name, parameter in parameters_of(function):
            if parameter.default is not parameter.empty and self.draw.random() < 0.6:
                continue
            if parameter.kind is parameter.KEYWORD_ONLY or named:
                named[name] = self.value(name)
            else:
                positional.append(self.value(name))
                if parameter.default is not parameter.empty:
                    named[name] = positional.pop()
        return positional, named

    # ---- acts -------------------------------------------------------------------------------

    def make(self, kind):
        if kind in ("Job",):
            return self.any_of("Stage").next_job()
        positional, named = self.arguments(getattr(pluralis, kind))
        return getattr(pluralis, kind)(*positional, **named)

    def attempt(self, function, *arguments, **named):
        try:
            result = function(*arguments, **named)
            self.outcomes["returned"] += 1
            return result
        except Exception as error:  # pylint: disable=broad-except  # any exception is a good answer
            self.outcomes[type(error).__name__] += 1
            if isinstance(error, (SystemError, pluralis.errors.FatalError)) and not isinstance(
                    error, pluralis.errors.Corrupt):
                raise
            return None

    def call(self):
        if self.draw.random() < 0.25:
            function = self.draw.choice(FUNCTIONS)
        else:
            handle = self.any_of(self.draw.choice(HANDLES))
            if handle is None:
                return
            name = self.draw.choice(names_of(type(handle)))
            function = self.attempt(getattr, handle, name)
            if not callable(function):
                return
        positional, named = self.arguments(function)
        result = self.attempt(function, *positional, **named)
        self.keep(result)

    def race(self):
        """Two threads on one handle."""
        handle = self.any_of(self.draw.choice(["Shard", "Encoder", "Ledger", "Link", "Model", "Stage"]))
        calls = []
        for _ in range(2):
            name = self.draw.choice(names_of(type(handle)) + ["close"])
            function = self.attempt(getattr, handle, name)
            if callable(function):
                calls.append((function, *self.arguments(function)))
        threads = [threading.Thread(target=self.attempt, args=(function, *positional), kwargs=named)
                   for function, positional, named in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self):
        handle = self.any_of(self.draw.choice(HANDLES))
        if hasattr(handle, "close"):
            self.attempt(handle.close)

    def run_pipeline(self):
        if self.pipeline is None or self.draw.random() < 0.05:
            ctx = pluralis.Context(logger=False)
            self.pipeline = Pipeline(ctx, codec=self.draw.choice(["raw", "int4"]))
            p = self.pipeline
            self.attempt(self.draw.choice([lambda: p.feeder.train(50), lambda: p.feeder.evaluate(50)]))
            for handle in p.nodes + p.links + p.shards + p.me + [p.model, p.corpus, ctx]:
                if self.draw.random() < 0.4:
                    self.keep(handle)
        for _ in range(self.draw.randrange(1, 8)):
            if self.attempt(self.pipeline.turn) is None:
                self.pipeline = None
                return
        for events in self.pipeline.events:
            for event in events[-2:]:
                self.keep(event.data)

    def sequence(self):
        for _ in range(self.draw.randrange(2, 9)):
            roll = self.draw.random()
            if roll < 0.8:
                self.call()
            elif roll < 0.86:
                self.close()
            elif roll < 0.88:
                self.race()
            elif roll < 0.98:
                self.run_pipeline()
            elif roll < 0.99:
                self.pool.pop(self.draw.choice(HANDLES), None)
            else:
                gc.collect()


def print_nothing(_done, _total):
    pass


NAMES, PARAMETERS = {}, {}


def names_of(kind):
    if kind not in NAMES:
        NAMES[kind] = [name for name in dir(kind) if not name.startswith("_") and name not in (
            "close", "struct", "caught", "torch", "numpy", "check", "take")]
        NAMES[kind] += ["__enter__"] * hasattr(kind, "__enter__")
    return NAMES[kind]


def parameters_of(function):
    key = getattr(function, "__func__", function)
    if key not in PARAMETERS:
        PARAMETERS[key] = [(name, p) for name, p in inspect.signature(function).parameters.items()
                           if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return PARAMETERS[key]


def main():
    faulthandler.enable()
    number, count, seconds = (int(argument) for argument in sys.argv[1:4])
    if "san" not in os.environ.get("LD_PRELOAD", ""):  # a sanitizer's shadow is larger
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # so that absurd sizes fail at once
    started = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # what is made durable here need not be
    with tempfile.TemporaryDirectory(dir=memory) as folder, open(sys.argv[4], "w", encoding="ascii") as progress:
        os.chdir(folder)  # junk is taken for file names too
        world = World(number, folder)
        for done in range(count):
            os.pwrite(progress.fileno(), b"%-10d" % done, 0)
            world.sequence()
            if time.monotonic() - started > seconds:
                break
        outcomes = world.outcomes
        world.pool.clear()
        world.pipeline = None
        gc.collect()
    print("%d sequences, %d calls in %.1f s: %s" % (
        done + 1, sum(outcomes.values()), time.monotonic() - started,
        ", ".join("%s %d" % pair for pair in outcomes.most_common())))


if __name__ == "__main__":
    main()
