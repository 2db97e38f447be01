"""Installs into a scratch prefix and builds a consumer against it: pkg-config, find_package, add_subdirectory, each
with the shared and the static library. Then the Debian packages (debian.py)."""
import os
import re
import shlex
import subprocess
import sys
import tempfile

import debian

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONSUMER = os.path.join(ROOT, "tests", "install", "consumer")


class Failed(Exception):
    pass


def run(argv, **env):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=dict(os.environ, **env))
    if done.returncode:
        raise Failed("%s: status %d: %s" % (" ".join(argv), done.returncode,
                                            done.stdout.strip().replace("\n", " | ")[-900:]))
    return done.stdout.strip()


def by_pkg_config(libdir, scratch):
    env = {"PKG_CONFIG_PATH": os.path.join(libdir, "pkgconfig")}
    source = os.path.join(CONSUMER, "consumer.c")
    for static in (False, True):
        flags = run(["pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "pluralis"], **env)
        argv = shlex.split(flags)
        if static:  # the archive by name; what it needs, shared
            argv = [os.path.join(libdir, "libpluralis.a") if a == "-lpluralis" else a for a in argv] + ["-DPLR_STATIC"]
        program = os.path.join(scratch, "pc-static" if static else "pc-shared")
        run(["cc", "-std=c11", "-Wall", "-Werror", source, "-o", program, *argv])
        print("ok pkg-config %s: %s" % ("static" if static else "shared", run([program], LD_LIBRARY_PATH=libdir)))
    flags = shlex.split(run(["pkg-config", "--cflags", "--libs", "pluralis"], **env))
    program = os.path.join(scratch, "pc-c++")
    run(["c++", "-std=c++17", "-Wall", "-Werror", "-x", "c++", source, "-x", "none", "-o", program, *flags])
    print("ok pkg-config C++: %s" % run([program], LD_LIBRARY_PATH=libdir))
    version = run(["pkg-config", "--modversion", "pluralis"], **env)
    if version not in open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8").read():
        raise Failed("pluralis.pc says version %s" % version)


def by_cmake(way, scratch, libdir, *arguments, remote=True):
    folder = os.path.join(scratch, way if remote else way + "-without-remote")
    run(["cmake", "-S", CONSUMER, "-B", folder, "-GNinja", "-DWAY=" + way, "-DCMAKE_BUILD_TYPE=Release", *arguments])
    run(["cmake", "--build", folder])
    for kind in ("shared", "static"):
        output = run([os.path.join(folder, "consumer_" + kind)], LD_LIBRARY_PATH=libdir)
        if ("without libcurl" in output) == remote:
            raise Failed("PLR_REMOTE is %s, and it says: %s" % ("ON" if remote else "OFF", output))
        print("ok %s %s: %s" % (way, kind, output))


def refused(why, *argv):
    """The command fails and says why."""
    try:
        run(argv)
    except Failed as failure:
        if re.search(why, re.sub(r"[ |]+", " ", str(failure))):
            return
        raise Failed("it does not say why: %s" % failure) from failure
    raise Failed("%s went through" % " ".join(argv))


def component_cuda(prefix, libdir, scratch):
    """find_package(pluralis COMPONENTS cuda), with the plugin and without."""
    bare = os.path.join(scratch, "bare")
    for component in ("runtime", "development"):
        run(["cmake", "--install", os.path.join(ROOT, "build", "release"), "--prefix", bare,
             "--component", component])
    find = ["cmake", "-S", CONSUMER, "-GNinja", "-DWAY=package"]
    refused("without its CUDA plugin: there is no %s" % re.escape(bare), *find, "-DCMAKE_PREFIX_PATH=" + bare,
            "-DCOMPONENTS=cuda", "-B", os.path.join(scratch, "bare-required"))
    refused('no component "tpu"; there is: cuda', *find, "-DCMAKE_PREFIX_PATH=" + bare, "-DCOMPONENTS=tpu",
            "-B", os.path.join(scratch, "bare-unknown"))
    said = run([*find, "-DCMAKE_PREFIX_PATH=" + bare, "-DOPTIONAL=cuda", "-B", os.path.join(scratch, "bare-optional")])
    if "plugin:" in said:
        raise Failed("there is a pluralis::cuda without a plugin")
    print("ok component cuda, absent: refused when required, left out when optional")
    plugin, kind = os.path.join(libdir, "pluralis", "libpluralis-cuda.so"), "the plugin"
    if not os.path.exists(plugin):
        kind = "a stand-in, for there is no nvcc here"
        os.makedirs(os.path.dirname(plugin))
        run(["cc", "-shared", "-x", "c", "/dev/null", "-o", plugin])
    said = run([*find, "-DCMAKE_PREFIX_PATH=" + prefix, "-DCOMPONENTS=cuda", "-B", os.path.join(scratch, "cuda")])
    if "plugin: %s\n" % plugin not in said:
        raise Failed("pluralis::cuda is not at %s: %s" % (plugin, said))
    print("ok component cuda, present: %s" % kind)


def layout(prefix, libdir):
    soname = run(["sh", "-c", "readelf -d %s | sed -n 's/.*SONAME.*\\[\\(.*\\)\\]/\\1/p'"
                  % shlex.quote(os.path.join(libdir, "libpluralis.so"))])
    if soname != "libpluralis.so.0":
        raise Failed("SONAME is %s" % soname)
    for name in os.listdir(os.path.join(ROOT, "include", "pluralis")):
        if not os.path.exists(os.path.join(prefix, "include", "pluralis", name)):
            raise Failed("include/pluralis/%s is not installed" % name)
    print("ok layout: %s" % soname)


def main():
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        prefix = os.path.join(scratch, "prefix")
        try:
            run(["cmake", "--install", os.path.join(ROOT, "build", "release"), "--prefix", prefix])
        except Failed as failure:
            print("not ok install: %s" % failure)
            return 1
        libdir = next(folder for folder, _, files in os.walk(prefix) if "libpluralis.a" in files)
        for name, check in (("layout", lambda: layout(prefix, libdir)),
                            ("pkg-config", lambda: by_pkg_config(libdir, scratch)),
                            ("find_package", lambda: by_cmake("package", scratch, libdir,
                                                              "-DCMAKE_PREFIX_PATH=" + prefix)),
                            ("component cuda", lambda: component_cuda(prefix, libdir, scratch)),
                            ("add_subdirectory", lambda: by_cmake("subdirectory", scratch, libdir,
                                                                  "-DSOURCE=" + ROOT)),
                            ("add_subdirectory without PLR_REMOTE",
                             lambda: by_cmake("subdirectory", scratch, "", "-DSOURCE=" + ROOT, "-DPLR_REMOTE=OFF",
                                              remote=False)),
                            ("Debian packages", lambda: debian.check(ROOT, scratch, run, by_pkg_config, by_cmake))):
            try:
                check()
            except (Failed, debian.Wrong) as failure:
                bad = 1
                print("not ok %s: %s" % (name, failure))
    return bad


if __name__ == "__main__":
    sys.exit(main())
