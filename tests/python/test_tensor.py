"""Tensors: shapes, the buffer protocol, DLPack both ways with ourselves, numpy and torch."""
import ctypes
import gc
import sys
import unittest
from array import array

import support  # noqa: F401  # pylint: disable=unused-import

import pluralis
from pluralis import _dlpack, errors
from pluralis import Tensor

try:
    import numpy
except ImportError:
    numpy = None
try:
    import torch
except ImportError:
    torch = None


class TensorTest(unittest.TestCase):
    def test_new(self):
        t = Tensor((3, 4))
        self.assertEqual((t.shape, t.strides, t.dtype, t.size, t.readonly, t.contiguous),
                         ((3, 4), (4, 1), "float32", 12, False, True))
        self.assertEqual((t.address % 64, t.itemsize, Tensor(1, "bfloat16").itemsize), (0, 4, 2))
        self.assertEqual(t.tolist(), [[0.0] * 4] * 3)
        t.flat[:] = array("f", range(12))
        self.assertEqual(t.data[2, 1], 9.0)
        self.assertEqual(Tensor(5, "uint8").tolist(), [0] * 5)
        self.assertEqual(Tensor((2, 0)).size, 0)
        self.assertEqual(Tensor((2, 1, 3, 1), "int32").shape, (2, 1, 3, 1))
        for shape, dtype in (((), "float32"), ((1,) * 5, "float32"), ((-1, 2), "float32"), ((2,), "float64")):
            with self.assertRaises(errors.PluralisError):
                Tensor(shape, dtype)
        for shape in (2 ** 62, (2 ** 40, 2 ** 40)):
            with self.assertRaises(MemoryError):
                Tensor(shape)

    def test_rows(self):
        t = Tensor((3, 2, 4))
        t.flat[:] = array("f", range(24))
        self.assertEqual((len(t), t[1].shape, t[-1][1].tolist(), t[0][1][2]), (3, (2, 4), [20, 21, 22, 23], 6.0))
        t[2].flat[0] = -5
        self.assertEqual(t.flat[16], -5)
        self.assertEqual(sum(1 for _ in t), 3)
        for bad, kind in ((3, IndexError), (-4, IndexError), ("a", TypeError), (slice(2), TypeError)):
            with self.assertRaises(kind):
                t[bad]

    def test_buffers_are_shared(self):
        a = array("f", range(6))
        t = Tensor.of(a)
        a[4] = 40.0
        self.assertEqual((t.shape, t.dtype, t.tolist()[4]), ((6,), "float32", 40.0))
        m = Tensor.of(memoryview(a).cast("B").cast("f", (2, 3)))
        m.flat[0] = -1.0
        self.assertEqual((a[0], m.shape), (-1.0, (2, 3)))
        with self.assertRaises(BufferError):
            a.append(1.0)  # would move the memory
        del t, m
        a.append(1.0)
        self.assertIs(Tensor.of(Tensor.of(a)).__class__, Tensor)

    def test_dtypes_of_buffers(self):
        for value, dtype in ((b"ab", "uint8"), (bytearray(2), "uint8"), (array("i", [1]), "int32"),
                             (array("B", [1]), "uint8"), ((ctypes.c_float * 3)(), "float32"),
                             ((ctypes.c_int32 * 3)(), "int32"), (memoryview(bytes(4)).cast("f"), "float32")):
            t = Tensor.of(value)
            self.assertEqual(t.dtype, dtype)
        self.assertTrue(Tensor.of(b"ab").readonly and not Tensor.of(bytearray(b"ab")).readonly)
        with self.assertRaises(TypeError):
            Tensor.of(b"ab").flat[0] = 1
        for value in (array("d", [1]), array("l", [1]), array("b", [1]), array("H", [1]), (ctypes.c_char * 2)(),
                      (ctypes.c_float.__ctype_be__ * 2)()):
            with self.assertRaisesRegex(errors.ShapeError, "dtype"):
                Tensor.of(value)
        for value in (None, 5, "text", [1.0], object()):
            with self.assertRaises(TypeError):
                Tensor.of(value)

    def test_misaligned(self):
        raw = bytearray(17)
        with self.assertRaisesRegex(errors.ShapeError, "aligned"):
            Tensor.of(memoryview(raw)[1:].cast("f"))

    def test_strides(self):
        a = array("f", range(12))
        t = Tensor.of(memoryview(a)[::3])
        self.assertEqual((t.strides, t.contiguous), ((3,), False))
        for call in (lambda: t.flat, t.tolist):
            with self.assertRaisesRegex(errors.ShapeError, "contiguous"):
                call()
        with self.assertRaises(errors.ShapeError):
            Tensor.of(memoryview(a)[::-1])

    def test_views_keep_the_memory(self):
        t = Tensor((2, 2))
        view = t.data
        t.flat[3] = 7.0
        del t
        gc.collect()
        self.assertEqual(view[1, 1], 7.0)


class DLPackTest(unittest.TestCase):
    """With ourselves: a consumer and a producer that do what the specification says."""

    def setUp(self):
        gc.collect()
        _dlpack.sweep()
        self.before = len(_dlpack.exported)

    def tearDown(self):
        gc.collect()
        _dlpack.sweep()
        self.assertEqual(len(_dlpack.exported), self.before)

    def test_round_trips(self):
        for versioned in (False, True):
            for dtype in ("float32", "float16", "bfloat16", "int32", "uint8"):
                t = Tensor((2, 3), dtype)
                t.flat[4] = 9
                capsule = t.__dlpack__(max_version=(1, 0) if versioned else None)
                other = Tensor.from_dlpack(capsule)
                self.assertEqual((other.dtype, other.shape, other.strides, other.address),
                                 (t.dtype, t.shape, t.strides, t.address))
                del t, capsule
                gc.collect()
                self.assertEqual(other.flat[4], 9)
                del other

    def test_a_capsule_is_taken_once(self):
        t = Tensor((2, 3))
        for version in (None, (1, 1)):
            capsule = t.__dlpack__(max_version=version)
            first = Tensor.from_dlpack(capsule)
            with self.assertRaises(TypeError):
                Tensor.from_dlpack(capsule)
            del first

    def test_capsules_nobody_takes_are_freed(self):
        t = Tensor((2, 3))
        kept = t.__dlpack__()
        for _ in range(10):
            t.__dlpack__(max_version=(1, 0))
        kept2 = t.__dlpack__()
        self.assertEqual(len(_dlpack.exported), self.before + 2)
        self.assertNotEqual(id(kept), id(kept2))

    def test_an_exception_in_flight_survives_a_refused_capsule(self):
        def refuse(_capsule):
            raise KeyError("original")

        with self.assertRaises(KeyError):
            refuse(Tensor((1,)).__dlpack__())

    def test_deleters_called_at_bad_moments(self):
        """Without the interpreter's lock, and when the interpreter has ended. While an exception is raised: with numpy
        and torch, below."""
        code = """
import ctypes, gc, threading, pluralis
from pluralis import _dlpack
libc = ctypes.CDLL(None)
libc.__cxa_atexit.argtypes = [ctypes.c_void_p] * 3
for version in (None, (1, 0)):
    for moment in ("unlocked", "end"):
        capsule = pluralis.Tensor((1000,)).__dlpack__(max_version=version)
        name = _dlpack.VERSIONED if version else _dlpack.LEGACY
        address = _dlpack._pointer(capsule, name)
        _dlpack._set_name(capsule, _dlpack.USED[name])
        deleter = ctypes.cast(_dlpack.STRUCTS[name].from_address(address).deleter, ctypes.c_void_p).value
        if moment == "unlocked":  # CFUNCTYPE gives the lock up
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter)(address)
        else:
            libc.__cxa_atexit(deleter, address, None)
        del capsule
gc.collect()
assert len(_dlpack.exported) == 2, _dlpack.exported
"""
        self.assertEqual(support.python(code, PYTHONMALLOC="debug"), (0, "", ""))

    def test_requests_that_cannot_be_met(self):
        t = Tensor((2, 3))
        for request in (dict(stream=1), dict(copy=True), dict(dl_device=(2, 0))):
            with self.assertRaises(BufferError):
                t.__dlpack__(**request)
        self.assertEqual(t.__dlpack_device__(), (1, 0))
        frozen = Tensor.of(b"abc")
        with self.assertRaises(BufferError):
            frozen.__dlpack__()
        self.assertTrue(Tensor.from_dlpack(frozen.__dlpack__(max_version=(1, 0))).readonly)

    def produce(self, name=b"dltensor", device=(1, 0), dtype=(2, 32, 1), shape=(2, 2), strides=None, major=1,
                data=None, offset=0, device_says=None):
        """An object whose capsule is made here, with any content; its deleter counts."""
        kind = _dlpack.STRUCTS[name]
        managed, memory = kind(), (ctypes.c_float * 8)(*range(8))
        deleted = []
        managed.deleter = _dlpack._Deleter(deleted.append)
        sizes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        steps = (ctypes.c_int64 * len(strides))(*strides) if strides else None
        if name is _dlpack.VERSIONED:
            managed.major = major
        managed.tensor = _dlpack._Tensor(ctypes.addressof(memory) if data is None else data, _dlpack._Device(*device),
                                         len(shape), _dlpack._DataType(*dtype), sizes, steps, offset)
        capsule = _dlpack._new(ctypes.addressof(managed), name, None)

        class Producer:
            keep = managed, memory, sizes, steps

            def __dlpack__(self):
                return capsule

            def __dlpack_device__(self):
                return device_says or device

        return Producer(), deleted

    def test_good_producers(self):
        for name in (_dlpack.LEGACY, _dlpack.VERSIONED):
            producer, deleted = self.produce(name, offset=4, strides=(3, 1))
            t = Tensor.from_dlpack(producer)
            self.assertEqual((t.shape, t.strides, deleted), ((2, 2), (3, 1), []))
            self.assertEqual(ctypes.c_float.from_address(t.address).value, 1.0)
            del t
            self.assertEqual(len(deleted), 1)

    def test_bad_producers(self):
        versioned = _dlpack.VERSIONED
        for words, given in (("device cuda", dict(device=(2, 0))), ("device cuda", dict(device=(2, 0), name=versioned)),
                             ("device rocm", dict(device=(10, 0), device_says=(1, 0))),
                             ("float64", dict(dtype=(2, 64, 1))), ("int64", dict(dtype=(0, 64, 1))),
                             ("bool8", dict(dtype=(6, 8, 1))), ("x4", dict(dtype=(2, 32, 4))),
                             ("0 dimensions", dict(shape=())), ("5 dimensions", dict(shape=(1,) * 5)),
                             ("DLPack 2", dict(name=versioned, major=2)), ("negative", dict(strides=(-2, 1))),
                             ("negative", dict(shape=(-2, 2))), ("range", dict(shape=(2 ** 62, 2 ** 62))),
                             ("NULL", dict(data=0)), ("aligned", dict(offset=1))):
            producer, deleted = self.produce(**given)
            with self.assertRaisesRegex(errors.PluralisError, words, msg=repr(given)):
                Tensor.from_dlpack(producer)
            gc.collect()
            if (given.get("device_says") or given.get("device", (1, 0))) == (1, 0):
                self.assertEqual(len(deleted), 1, given)  # taken, so given back

    def test_producers_that_fail(self):
        class Fails:
            def __dlpack_device__(self):
                return 1, 0

            def __dlpack__(self, **_):
                raise RuntimeError("requires grad")

        class NoCapsule(Fails):
            def __dlpack__(self, **_):
                return 5

        with self.assertRaises(RuntimeError):
            Tensor.of(Fails())
        with self.assertRaises(TypeError):
            Tensor.of(NoCapsule())


@unittest.skipIf(numpy is None, "numpy is not installed")
class NumpyTest(unittest.TestCase):
    def test_from_numpy(self):
        a = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
        for t in (Tensor.of(a), Tensor.from_dlpack(a)):
            self.assertEqual((t.shape, t.address, t.dtype), ((2, 3), a.ctypes.data, "float32"))
        self.assertEqual(Tensor.of(a[:, ::2]).strides, (3, 2))
        self.assertEqual(Tensor.of(a.T).strides, (1, 3))
        self.assertEqual(Tensor.of(a.astype("float16")).dtype, "float16")
        a.flags.writeable = False
        self.assertTrue(Tensor.of(a).readonly)
        for bad in (a.astype("float64"), a.astype(">f4"), a.astype("int64"), a.astype(bool), a.astype("complex64")):
            with self.assertRaisesRegex(errors.ShapeError, "dtype"):
                Tensor.of(bad)

    def test_to_numpy(self):
        for dtype in ("float32", "float16", "int32", "uint8"):
            t = Tensor((2, 3), dtype)
            t.flat[4] = 9 if dtype != "float16" else 0x4880
            ways = [t.numpy(), numpy.asarray(t), numpy.from_dlpack(t)]
            for a in ways:
                self.assertEqual((a.shape, str(a.dtype), a.ctypes.data, a[1, 1]), ((2, 3), dtype, t.address, 9))
            del t
            gc.collect()
            ways[0][0, 0] = 5
            self.assertEqual(ways[2][0, 0], 5)
        self.assertFalse(Tensor.of(b"ab").numpy().flags.writeable)

    def test_numpy_drops_its_reference_while_an_exception_is_raised(self):
        def fail():
            raise KeyError("original")

        with self.assertRaises(KeyError):
            print(numpy.from_dlpack(Tensor((2,))), fail())
        with self.assertRaises((RuntimeError, BufferError, TypeError)):
            numpy.from_dlpack(Tensor((2,), "bfloat16"))
        gc.collect()
        self.assertEqual(_dlpack.exported, {})

    def test_a_shard_takes_arrays(self):
        ctx = pluralis.Context()
        shard = pluralis.Shard(ctx, pluralis.Model(ctx, support.MANIFEST), 0, 2)
        out, tokens = numpy.zeros((16, 4), numpy.float32), numpy.ones((2, 9), numpy.int32)
        shard.forward(0, tokens, None, out)
        self.assertTrue(out.any())
        with self.assertRaisesRegex(errors.ShapeError, "strides"):
            shard.backward(0, out.T.copy().T)


@unittest.skipIf(torch is None, "torch is not installed")
class TorchTest(unittest.TestCase):
    def test_from_torch(self):
        a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
        for t in (Tensor.of(a), Tensor.from_dlpack(a)):
            self.assertEqual((t.shape, t.address, t.dtype), ((2, 3), a.data_ptr(), "float32"))
        self.assertEqual(Tensor.of(a.to(torch.bfloat16)).dtype, "bfloat16")
        self.assertEqual(Tensor.of(a.T).strides, (1, 3))
        with self.assertRaisesRegex(errors.ShapeError, "float64"):
            Tensor.of(a.double())
        with self.assertRaises((RuntimeError, BufferError)):
            Tensor.of(a.clone().requires_grad_())

    def test_to_torch(self):
        for dtype in ("float32", "float16", "bfloat16", "int32", "uint8"):
            t = Tensor((2, 3), dtype)
            address = t.address
            ways = [t.torch(), torch.from_dlpack(t)]
            del t
            gc.collect()
            for a in ways:
                self.assertEqual((tuple(a.shape), str(a.dtype), a.data_ptr()), ((2, 3), "torch." + dtype, address))
            ways[0][1, 1] = 9
            self.assertEqual(ways[1][1, 1], 9)
        del ways, a
        gc.collect()
        self.assertEqual(_dlpack.exported, {})

    def test_torch_drops_its_reference_while_an_exception_is_raised(self):
        def fail():
            raise KeyError("original")

        for give in (torch.from_dlpack, Tensor.torch):
            with self.assertRaises(KeyError):
                print(give(Tensor((2,))), fail())
        gc.collect()
        self.assertEqual(_dlpack.exported, {})


if __name__ == "__main__":
    for name, module in (("numpy", numpy), ("torch", torch)):
        print("skipped: %s is not installed" % name if module is None else module.__version__, file=sys.stderr)
    unittest.main()
