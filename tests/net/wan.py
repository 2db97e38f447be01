"""Network namespaces with an emulated wide-area network between them (wan.c), for tests and benches."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "host"))
import host  # noqa: E402

PROGRAM = os.path.join(host.BUILD, "tests", "wan")


def ip(*arguments):
    return subprocess.run(["ip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def missing():
    """Why there can be no network here, or None."""
    if not os.path.exists(PROGRAM):
        return "tests/net/wan.c is not built here"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no access to /dev/net/tun"
    name = "plr%dx" % os.getpid()
    try:
        done = ip("netns", "add", name)
    except FileNotFoundError:
        return "no ip command"
    if done.returncode:
        return "no network namespaces: %s" % done.stdout.strip()
    ip("netns", "del", name)
    return None


class Wan:
    """`count` namespaces self.prefix0, ...; each node's uplink has this rate (Mbit/s, 0: none), one-way delay (ms) and
    loss (a part). Leaves nothing behind."""

    def __init__(self, count, rate=0, delay=0, loss=0):
        self.prefix, self.count, self.made = "plr%dn" % os.getpid(), count, []
        self.program = None
        try:
            for i in range(count):
                done = ip("netns", "add", "%s%d" % (self.prefix, i))
                if done.returncode:
                    raise RuntimeError(done.stdout)
                self.made.append("%s%d" % (self.prefix, i))
            self.program = subprocess.Popen([PROGRAM, self.prefix, str(count)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
            if self.program.stdout.readline() != "ready\n":
                raise RuntimeError("the emulator did not start")
        except BaseException:
            self.close()
            raise
        for what, value in (("rate", rate), ("delay", delay), ("loss", loss)):
            self.set(what, "all", value)

    def set(self, what, node, value=0):
        self.program.stdin.write("%s %s %s\n" % (what, node, value))
        self.program.stdin.flush()
        answer = self.program.stdout.readline()
        assert answer == "ok\n", (what, node, value, answer)

    def stats(self):
        """For each node what it sent: packets, packets lost and dropped, bytes that went."""
        self.program.stdin.write("stats\n")
        self.program.stdin.flush()
        result = []
        for line in iter(self.program.stdout.readline, "end\n"):
            field = line.split()
            result.append(dict(zip(field[2::2], map(int, field[3::2]))))
        return result

    def close(self):
        if self.program:
            self.program.stdin.close()
            self.program.wait(10)
            self.program.stdout.close()
        for name in self.made:
            ip("netns", "del", name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
