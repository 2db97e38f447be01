"""A published ledger copied by plr_mirror, which checks and replays and stores it, beside curl, which fetches the same
files from the same nginx and throws them away. Once over a link of 50 Mbit/s with 10 ms each way (a relay in user
space), where a mirror should be as fast as the link; once over the loopback device, where checking is what there is."""
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))

import pluralis  # noqa: E402
from pluralis import entries, errors, mirror  # noqa: E402

ORIGIN, MODEL, COUNT, TURNS = "example.org/bench", bytes(range(32)), 30000, 3
RATE, DELAY = 50e6 / 8, 0.010
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONF = """daemon off; pid %(dir)s/pid; error_log %(dir)s/error.log; %(user)s
events {}
http { access_log off; default_type application/octet-stream; keepalive_requests 100000;
  client_body_temp_path %(dir)s/1; proxy_temp_path %(dir)s/2; fastcgi_temp_path %(dir)s/3; uwsgi_temp_path %(dir)s/4;
  scgi_temp_path %(dir)s/5;
  server { listen 127.0.0.1:%(port)d; root %(dir)s/site; } }
"""


def relay(listener, port):
    """Connections to `port`, all of them together held to RATE; what comes back is DELAY late, as what goes there."""
    lock, free_at = threading.Lock(), [0.0]

    def carry(source, target, limited):
        late, waiting, end = [], threading.Semaphore(0), threading.Event()

        def deliver():
            while True:
                waiting.acquire()
                if not late and end.is_set():
                    break
                when, data = late.pop(0)
                time.sleep(max(0, when - time.monotonic()))
                try:
                    target.sendall(data)
                except OSError:
                    break
            try:
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=deliver, daemon=True).start()
        while True:
            try:
                data = source.recv(16384)
            except OSError:
                data = b""
            if not data:
                break
            now = time.monotonic()
            if limited:
                with lock:
                    free_at[0] = max(free_at[0], now) + len(data) / RATE
                    now = free_at[0]
                time.sleep(max(0, now - time.monotonic()))
            late.append((now + DELAY, data))
            waiting.release()
        end.set()
        waiting.release()

    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for s in (near, far):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=carry, args=(near, far, False), daemon=True).start()
        threading.Thread(target=carry, args=(far, near, True), daemon=True).start()


def line(name, value, unit, peer_value, ratio, note):
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "peer": "curl, the same files",
                      "peer_value": round(peer_value, 3), "ratio": round(ratio, 3), "note": note}), flush=True)


def make_ledger(ctx, folder):
    me, ada = pluralis.Identity(ctx, bytes([1]) * 32), pluralis.Identity(ctx, bytes([2]) * 32)
    ledger = pluralis.Ledger(ctx, os.path.join(folder, "l.db"), origin=ORIGIN, sequencer=me)
    ledger.append(entries.account_open(ada, ORIGIN, 1))
    ledger.append(entries.model_register(ada, ORIGIN, 2, model=MODEL, costs=[5], halving_units=10 ** 9, rate=1,
                                         rate_divisor=1, microbatch_tokens=64))
    made = [entries.revenue_deposit(ada, ORIGIN, 3 + i, model=MODEL, amount=7) for i in range(COUNT)]
    for at in range(0, COUNT, 4096):
        for outcome in ledger.append_many(made[at:at + 4096]):
            assert outcome.error is None, outcome.error
    ledger.checkpoint()
    ledger.publish(os.path.join(folder, "site"))
    return me.public_key, ledger.summary


def files_of(folder):
    site = os.path.join(folder, "site")
    return [os.path.relpath(os.path.join(at, name), site) for at, _, names in os.walk(site) for name in names
            if "tile/0/" not in os.path.relpath(os.path.join(at, name), site) or ".p" in at]


def fetch(url, files, folder):
    config = os.path.join(folder, "urls")
    with open(config, "w", encoding="ascii") as f:
        for name in files:
            f.write('url = "%s/%s"\noutput = "/dev/null"\n' % (url, name))
    begun = time.monotonic()
    subprocess.run(["curl", "--no-progress-meter", "-fZ", "--parallel-max", "8", "-K", config], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def copy(ctx, url, key, folder, want, skip):
    path = os.path.join(folder, "copy.db")
    for end in ("", "-wal", "-shm", "-lock"):
        if os.path.exists(path + end):
            os.remove(path + end)
    begun = time.monotonic()
    with pluralis.Mirror(ctx, url, path, origin=ORIGIN, public_key=key, skip_signatures=skip) as made:
        made.update()
        seconds, stats = time.monotonic() - begun, made.stats
        with made.ledger as ledger:
            assert ledger.summary == want
    return seconds, stats.received


def compare(ctx, name, url, key, folder, want, skip, note):
    files, turns = files_of(folder), []
    for _ in range(TURNS):
        (ours, received), theirs = copy(ctx, url, key, folder, want, skip), fetch(url, files, folder)
        turns.append((received / ours / 1e6, received / theirs / 1e6, theirs / ours, want.entries / ours))
    mb, peer, ratio, rate = (statistics.median(column) for column in zip(*turns))
    line(name, mb, "MB/s", peer, ratio, "%s; %d entries/s" % (note, rate))


def main():
    if not os.access(NGINX, os.X_OK) or not shutil.which("curl"):
        print("skip ledger mirror: no nginx or no curl", file=sys.stderr)
        return 0
    ctx = pluralis.Context(logger=False, threads=2)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        try:
            mirror.Mirror(ctx, "http://x", origin=ORIGIN, public_key=bytes(32)).close()
        except errors.Unsupported as absent:
            print("skip ledger mirror: %s" % absent, file=sys.stderr)
            return 0
        key, want = make_ledger(ctx, folder)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with open(os.path.join(folder, "conf"), "w", encoding="ascii") as f:
            f.write(CONF % {"dir": folder, "port": port, "user": "user root;" if os.geteuid() == 0 else ""})
        nginx = subprocess.Popen([NGINX, "-e", os.path.join(folder, "error.log"), "-p", folder, "-c",
                                  os.path.join(folder, "conf")])
        listener = socket.create_server(("127.0.0.1", 0))
        link = multiprocessing.get_context("fork").Process(target=relay, args=(listener, port), daemon=True)
        link.start()
        try:
            time.sleep(0.5)
            near, far = "http://127.0.0.1:%d" % port, "http://127.0.0.1:%d" % listener.getsockname()[1]
            compare(ctx, "ledger.mirror_link", far, key, folder, want, True,
                    "link of 50 Mbit/s = 6.25 MB/s, 10 ms each way, signatures of entries believed")
            compare(ctx, "ledger.mirror_loopback", near, key, folder, want, True,
                    "loopback, signatures of entries believed")
            compare(ctx, "ledger.mirror_loopback_signatures", near, key, folder, want, False,
                    "loopback, every signature verified on 2 threads, which is what takes the time")
        finally:
            link.terminate()
            nginx.terminate()
            nginx.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
