"""Builds the wheel (PEP 517, PEP 427) with the standard library alone. The compiled library goes inside.

The library is that of PLURALIS_LIBRARY, else of build/release of the checkout this folder is in. The archive is the
same byte for byte when its contents are: names in order, times of SOURCE_DATE_EPOCH or 1980.
"""
import base64
import hashlib
import importlib.util
import os
import platform
import tarfile
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "pluralis")
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
NAME = "pluralis"


def declarations():
    """pluralis._abi, without loading the library."""
    spec = importlib.util.spec_from_file_location("_abi", os.path.join(PACKAGE, "_abi.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def version():
    abi = declarations()
    return "%d.%d.%d" % (abi.PLR_VERSION_MAJOR, abi.PLR_VERSION_MINOR, abi.PLR_VERSION_PATCH)


def soname():
    return "libpluralis.so.%d" % declarations().PLR_VERSION_MAJOR


def library():
    path = os.environ.get("PLURALIS_LIBRARY") or os.path.join(CHECKOUT, "build", "release", "lib", soname())
    if not os.path.exists(path):
        raise SystemExit("%s is not there; build it first (cmake --preset release && cmake --build build/release), "
                         "or set PLURALIS_LIBRARY" % path)
    return path


def tag():
    return "py3-none-linux_%s" % platform.machine()


def metadata():
    return ("Metadata-Version: 2.1\nName: %s\nVersion: %s\n"
            "Summary: Protocol models: shard execution, activation exchange, contribution ledger\n"
            "License: Apache-2.0\nRequires-Python: >=3.9\n" % (NAME, version())).encode()


def wheel_file():
    return ("Wheel-Version: 1.0\nGenerator: pluralis\nRoot-Is-Purelib: false\nTag: %s\n" % tag()).encode()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def sources():
    """(name in the package, bytes), in order."""
    return [(name, read(os.path.join(PACKAGE, name))) for name in sorted(os.listdir(PACKAGE))
            if name.endswith(".py") or name == "py.typed"]


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def when():
    stamp = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))
    return time.gmtime(max(stamp, 315532800))[:6]  # a zip knows no time before 1980


def add(archive, name, data, mode=0o644):
    entry = zipfile.ZipInfo(name, when())
    entry.external_attr = (0o100000 | mode) << 16
    entry.create_system = 3
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def info_folder():
    return "%s-%s.dist-info" % (NAME, version())


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    del config_settings, metadata_directory
    info = info_folder()
    files = [("%s/%s" % (NAME, name), data, 0o644) for name, data in sources()]
    files.append(("%s/%s" % (NAME, soname()), read(library()), 0o755))
    files += [("%s/METADATA" % info, metadata(), 0o644), ("%s/WHEEL" % info, wheel_file(), 0o644)]
    record = "".join("%s,sha256=%s,%d\n" % (name, digest(data), len(data)) for name, data, _ in files)
    files.append(("%s/RECORD" % info, (record + "%s/RECORD,,\n" % info).encode(), 0o644))
    name = "%s-%s-%s.whl" % (NAME, version(), tag())
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for file in files:
            add(archive, *file)
    return name


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    del config_settings
    folder = os.path.join(metadata_directory, info_folder())
    os.makedirs(folder)
    for name, data in (("METADATA", metadata()), ("WHEEL", wheel_file())):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    return info_folder()


def get_requires_for_build_wheel(config_settings=None):
    del config_settings
    return []


def build_sdist(sdist_directory, config_settings=None):
    """The Python part alone: a wheel made from it needs PLURALIS_LIBRARY."""
    del config_settings
    top = "%s-%s" % (NAME, version())
    with tarfile.open(os.path.join(sdist_directory, top + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name in ("pyproject.toml", "build_backend.py", "tutorial.py"):
            archive.add(os.path.join(HERE, name), "%s/%s" % (top, name))
        for name, _ in sources():
            archive.add(os.path.join(PACKAGE, name), "%s/pluralis/%s" % (top, name))
        path = os.path.join(sdist_directory, "PKG-INFO")
        with open(path, "wb") as f:
            f.write(metadata())
        archive.add(path, top + "/PKG-INFO")
        os.unlink(path)
    return top + ".tar.gz"


def get_requires_for_build_sdist(config_settings=None):
    del config_settings
    return []
