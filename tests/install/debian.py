"""The Debian packages: what is in them, what they depend on, and that a consumer builds against them unpacked."""
import os
import re


class Wrong(Exception):
    """A package is not as it should be."""


def field(control, name):
    found = re.search(r"^%s: (.*)$" % name, control, re.M)
    return found.group(1) if found else ""


def expected(root, version, libdir, cuda):
    """Package: its files."""
    headers = sorted(os.listdir(os.path.join(root, "include", "pluralis")))
    files = {
        "libpluralis0": ["%s/libpluralis.so.0" % libdir, "%s/libpluralis.so.%s" % (libdir, version)],
        "libpluralis-dev": ["usr/include/pluralis/" + name for name in headers]
        + ["%s/cmake/pluralis/pluralis%s.cmake" % (libdir, part)
           for part in ("Config", "ConfigVersion", "Targets", "Targets-release")]
        + ["%s/libpluralis.a" % libdir, "%s/libpluralis.so" % libdir, "%s/pkgconfig/pluralis.pc" % libdir],
    }
    if cuda:
        files["libpluralis0-cuda"] = ["%s/pluralis/libpluralis-cuda.so" % libdir]
    for package, names in files.items():
        names.append("usr/share/doc/%s/copyright" % package)
    return files


def check_contents(run, path, names):
    listed = [line.split(None, 5) for line in run(["dpkg-deb", "-c", path]).splitlines()]
    found = sorted(re.sub(r" -> .*", "", entry[5])[2:] for entry in listed if not entry[0].startswith("d"))
    for name in sorted(set(names) ^ set(found)):
        raise Wrong("%s: %s is %s" % (os.path.basename(path), name, "missing" if name in names else "too much"))
    for entry in listed:
        if entry[1] != "root/root" or entry[0] not in ("drwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"):
            raise Wrong("%s: %s" % (os.path.basename(path), " ".join(entry)))


def check_control(run, paths, version):
    """Dependencies, as far as they follow from what we link and not from the release of Debian."""
    depends = {package: field(run(["dpkg-deb", "-f", path]) + "\n", "Depends") for package, path in paths.items()}
    for name in ("libc6", "libcurl4", "libjansson4", "libsodium23", "libsqlite3-0", "libssl3", "libxxhash0",
                 "libzstd1"):
        if not re.search(r"(^|, )%s( \(|,|$)" % re.escape(name), depends["libpluralis0"]):
            raise Wrong("libpluralis0 does not depend on %s: %s" % (name, depends["libpluralis0"]))
    for package in set(paths) - {"libpluralis0"}:
        if "libpluralis0 (= %s-1)" % version not in depends[package]:
            raise Wrong("%s does not depend on its library: %s" % (package, depends[package]))
    for name in ("libcurl4-openssl-dev", "libjansson-dev", "libsodium-dev", "libsqlite3-dev", "libssl-dev",
                 "libxxhash-dev", "libzstd-dev"):
        if name not in depends["libpluralis-dev"]:
            raise Wrong("libpluralis-dev does not depend on %s" % name)
    control = run(["dpkg-deb", "-I", paths["libpluralis0"], "shlibs"])
    if not re.match(r"libpluralis 0 libpluralis0 ", control):
        raise Wrong("libpluralis0: shlibs says %s" % control)
    run(["dpkg-deb", "-I", paths["libpluralis0"], "postinst"])  # ldconfig


def check(root, scratch, run, by_pkg_config, by_cmake):
    folder = os.path.join(root, "build", "deb-test")
    # One generation of devices is enough to see the package of the plugin.
    run(["cmake", "--preset", "deb", "-S", root, "-B", folder, "-DCMAKE_CUDA_ARCHITECTURES=75-real"])
    run(["cmake", "--build", folder, "-j", str(os.cpu_count() or 2)])
    run(["cmake", "-E", "rm", "-rf", os.path.join(folder, "packages")])
    run(["cmake", "-E", "chdir", folder, "cpack"])
    text = open(os.path.join(root, "CMakeLists.txt"), encoding="utf-8").read()
    version = re.search(r"project\(pluralis VERSION ([\d.]+)", text).group(1)
    architecture = run(["dpkg", "--print-architecture"])
    libdir = "usr/lib/" + run(["dpkg-architecture", "-qDEB_HOST_MULTIARCH"])
    cuda = os.path.exists(os.path.join(folder, "lib", "pluralis", "libpluralis-cuda.so"))
    files = expected(root, version, libdir, cuda)
    paths = {package: os.path.join(folder, "packages", "%s_%s-1_%s.deb" % (package, version, architecture))
             for package in files}
    made = {name for name in os.listdir(os.path.join(folder, "packages")) if name.endswith(".deb")}
    if made != {os.path.basename(path) for path in paths.values()}:
        raise Wrong("there are %s" % ", ".join(sorted(made)))
    unpacked = os.path.join(scratch, "unpacked")
    for package, path in paths.items():
        check_contents(run, path, files[package])
        run(["dpkg-deb", "-x", path, unpacked])
        print("ok Debian package %s: %d files, %d KiB" % (package, len(files[package]), os.path.getsize(path) // 1024))
    check_control(run, paths, version)
    print("ok Debian packages: dependencies")
    by_pkg_config(os.path.join(unpacked, libdir), unpacked)
    by_cmake("package", os.path.join(scratch, "by-debian"), os.path.join(unpacked, libdir),
             "-DCMAKE_PREFIX_PATH=" + os.path.join(unpacked, "usr"))
