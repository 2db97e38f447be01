"""Installs into a scratch prefix and builds a consumer against it: pkg-config, find_package, add_subdirectory, each
with the shared and the static library."""
import os
import shlex
import subprocess
import sys
import tempfile

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


def by_pkg_config(prefix, libdir, scratch):
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
    version = run(["pkg-config", "--modversion", "pluralis"], **env)
    if version not in open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8").read():
        raise Failed("pluralis.pc says version %s" % version)


def by_cmake(way, scratch, libdir, *arguments):
    folder = os.path.join(scratch, way)
    run(["cmake", "-S", CONSUMER, "-B", folder, "-GNinja", "-DWAY=" + way, "-DCMAKE_BUILD_TYPE=Release", *arguments])
    run(["cmake", "--build", folder])
    for kind in ("shared", "static"):
        output = run([os.path.join(folder, "consumer_" + kind)], LD_LIBRARY_PATH=libdir)
        print("ok %s %s: %s" % (way, kind, output))


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
                            ("pkg-config", lambda: by_pkg_config(prefix, libdir, scratch)),
                            ("find_package", lambda: by_cmake("package", scratch, libdir,
                                                              "-DCMAKE_PREFIX_PATH=" + prefix)),
                            ("add_subdirectory", lambda: by_cmake("subdirectory", scratch, libdir,
                                                                  "-DSOURCE=" + ROOT))):
            try:
                check()
            except Failed as failure:
                bad = 1
                print("not ok %s: %s" % (name, failure))
    return bad


if __name__ == "__main__":
    sys.exit(main())
