"""A published ledger served by Debian's nginx, as pluralis-ledger meets it: plain, gzip, zstd, PUT, TLS, and a server
that goes away in the middle; and S3 signatures judged by a second implementation. One line per check."""
import ctypes
import ctypes.util
import filecmp
import hashlib
import hmac
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLI = os.path.join(ROOT, "build", "release", "examples", "pluralis-ledger")
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
ENTRIES = 3000

CONF = """
daemon off; pid %(dir)s/nginx.pid; error_log %(dir)s/error.log; %(user)s
events {}
http {
  access_log off; default_type application/octet-stream;
  client_body_temp_path %(dir)s/t1; proxy_temp_path %(dir)s/t2; fastcgi_temp_path %(dir)s/t3;
  uwsgi_temp_path %(dir)s/t4; scgi_temp_path %(dir)s/t5;
  server { listen 127.0.0.1:%(plain)d; root %(dir)s/site; }
  server { listen 127.0.0.1:%(gzip)d; root %(dir)s/site; gzip on; gzip_min_length 1; gzip_types *; }
  server { listen 127.0.0.1:%(zstd)d; root %(dir)s/zstd; add_header Content-Encoding zstd;
           if ($http_accept_encoding !~ zstd) { return 406; } }
  server { listen 127.0.0.1:%(put)d; root %(dir)s/put; client_max_body_size 32m; dav_methods PUT;
           create_full_put_path on; }
  server { listen 127.0.0.1:%(slow)d; root %(dir)s/site; limit_rate 120k; }
  server { listen 127.0.0.1:%(tls)d ssl; root %(dir)s/site;
           ssl_certificate %(dir)s/server.pem; ssl_certificate_key %(dir)s/server.key; }
}
"""
PORTS = ("plain", "gzip", "zstd", "put", "slow", "tls")


class Failed(Exception):
    pass


def need(truth, why):
    if not truth:
        raise Failed(why)


def cli(*arguments, fails=None):
    """The JSON that the command prints; or, when it must fail, what it says."""
    done = subprocess.run([CLI, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)
    if fails is None:
        need(done.returncode == 0, "%s: %s" % (arguments[0], done.stderr.strip()))
        return json.loads(done.stdout)
    need(done.returncode == 1, "%s ended with %d: %s" % (arguments[0], done.returncode, done.stderr))
    need(fails in done.stderr, "%s says: %s" % (arguments[0], done.stderr.strip()))
    return done.stderr


def free_ports(count):
    """Kept open together, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Nginx:
    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.port = dict(zip(PORTS, free_ports(len(PORTS))))
        self.conf = os.path.join(folder, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(CONF % dict(self.port, dir=folder, user=user))

    def url(self, which, host="127.0.0.1"):
        return "%s://%s:%d" % ("https" if which == "tls" else "http", host, self.port[which])

    def start(self):
        self.process = subprocess.Popen([NGINX, "-e", os.path.join(self.folder, "error.log"), "-p", self.folder, "-c",
                                         self.conf], stderr=subprocess.PIPE, text=True)
        for _ in range(200):
            if self.process.poll() is not None:
                raise Failed("nginx ended: %s" % self.process.stderr.read().strip())
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port["plain"])) == 0:
                    return
            time.sleep(0.02)
        raise Failed("nginx does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stderr.close()


def zstd_copy(source, target):
    """The same files, compressed; by libzstd itself."""
    lib = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    lib.ZSTD_compress.restype = lib.ZSTD_compressBound.restype = ctypes.c_size_t
    lib.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    lib.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    for folder, _, names in os.walk(source):
        to = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(to, exist_ok=True)
        for name in names:
            data = open(os.path.join(folder, name), "rb").read()
            out = ctypes.create_string_buffer(lib.ZSTD_compressBound(len(data)))
            size = lib.ZSTD_compress(out, len(out), data, len(data), 9)
            with open(os.path.join(to, name), "wb") as f:
                f.write(out.raw[:size])


def certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    with open(os.path.join(folder, "san"), "w", encoding="ascii") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "server.pem", "-days",
            "2", "-extfile", "san")


def same_tree(a, b):
    found = filecmp.dircmp(a, b)
    if found.left_only or found.right_only or found.diff_files or found.funny_files:
        return False
    exact = all(filecmp.cmp(os.path.join(a, name), os.path.join(b, name), False) for name in found.common_files)
    return exact and all(same_tree(os.path.join(a, name), os.path.join(b, name)) for name in found.common_dirs)


class Job:
    """A ledger, its site, and mirrors of it."""

    def __init__(self, folder):
        self.folder, self.home, self.site = folder, os.path.join(folder, "job"), os.path.join(folder, "site")
        self.vkey = cli("init", "--dir", self.home, "--origin", "example.org/nginx")["vkey"]
        cli("append", "--dir", self.home, "--kind", "account", "--as", "ada")
        cli("append", "--dir", self.home, "--kind", "model", "--as", "ada", "--model", "ab" * 32, "--costs", "5")
        self.deposits(ENTRIES)

    def deposits(self, count):
        cli("append", "--dir", self.home, "--kind", "deposit", "--as", "ada", "--model", "ab" * 32, "--amount", "7",
            "--repeat", str(count))

    def publish(self):
        cli("publish", "--dir", self.home, "--to", self.site)

    def mirror(self, url, name, *more, fails=None):
        return cli("mirror", "--url", url, "--vkey", self.vkey, "--db", os.path.join(self.folder, name),
                   *more, fails=fails)

    def same(self, name):
        ours, copy = os.path.join(self.folder, "ours.export"), os.path.join(self.folder, "copy.export")
        cli("export", "--dir", self.home, "--out", ours)
        cli("export", "--db", os.path.join(self.folder, name), "--out", copy)
        need(filecmp.cmp(ours, copy, False), "the copy is not the ledger")


def check_plain(job, nginx):
    said = job.mirror(nginx.url("plain"), "plain.db")
    job.same("plain.db")
    need(said["received"] == said["decoded"] and said["retries"] == 0, str(said))
    return "%d entries, %d bytes in %d files" % (said["entries"], said["received"], said["files"])


def check_gzip(job, nginx):
    said = job.mirror(nginx.url("gzip"), "gzip.db")
    job.same("gzip.db")
    need(said["received"] < said["decoded"] * 0.9, str(said))
    return "%d bytes for %d" % (said["received"], said["decoded"])


def check_zstd(job, nginx):
    zstd_copy(job.site, os.path.join(job.folder, "zstd"))
    said = job.mirror(nginx.url("zstd"), "zstd.db")
    job.same("zstd.db")
    need(said["received"] < said["decoded"] * 0.9, str(said))
    return "%d bytes for %d" % (said["received"], said["decoded"])


def check_put(job, nginx):
    home = os.path.join(job.folder, "second")
    vkey = cli("init", "--dir", home, "--origin", "example.org/put")["vkey"]
    cli("append", "--dir", home, "--kind", "account", "--as", "ada")
    cli("append", "--dir", home, "--kind", "model", "--as", "ada", "--model", "cd" * 32, "--costs", "5")
    for more in (700, 500):
        cli("append", "--dir", home, "--kind", "deposit", "--as", "ada", "--model", "cd" * 32, "--amount", "7",
            "--repeat", str(more))
        said = cli("publish", "--dir", home, "--to", nginx.url("put"))
        copied = cli("mirror", "--url", nginx.url("put"), "--vkey", vkey, "--db", os.path.join(job.folder, "put.db"))
        need(copied["entries"] == said["entries"], "%s, %s" % (said, copied))
    note = open(os.path.join(job.folder, "put", "checkpoint"), encoding="utf-8").read()
    need(note.startswith("example.org/put\n%d\n" % said["entries"]), note)
    entries = said["entries"]
    cli("publish", "--dir", home, "--to", nginx.url("plain"), fails="405")
    return "twice, %d entries; refused by a server that takes none" % entries


def check_tls(job, nginx):
    ca = ["--ca", os.path.join(job.folder, "ca.pem")]
    # A certificate is not a failure that passes: it must not be tried again and again.
    begun = time.time()
    job.mirror(nginx.url("tls"), "tls.db", fails="PLR_ERR_IO")
    need(time.time() - begun < 5, "it was tried again")
    job.mirror(nginx.url("tls", "localhost"), "tls.db", *ca, fails="PLR_ERR_IO")
    job.mirror(nginx.url("tls"), "tls.db", "--ca", os.path.join(job.folder, "server.csr"), fails="PLR_ERR_IO")
    job.mirror(nginx.url("tls"), "tls.db", *ca)
    job.same("tls.db")
    job.mirror(nginx.url("tls"), "loose.db", "--no-tls-verify")
    return "refused without the CA, under another name and with a CA file that is none; taken with it"


def check_interrupted(job, nginx):
    command = [CLI, "mirror", "--url", nginx.url("slow"), "--vkey", job.vkey, "--db",
               os.path.join(job.folder, "slow.db"), "--parallel", "2", "--retries", "20", "--json"]
    mirror = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.8)
    need(mirror.poll() is None, "the mirror ended before it could be interrupted")
    nginx.stop()
    time.sleep(0.5)
    nginx.start()
    out, err = mirror.communicate(timeout=120)
    need(mirror.returncode == 0, err)
    said = json.loads(out)
    job.same("slow.db")
    need(said["retries"] > 0, str(said))
    return "%d transfers begun again" % said["retries"]


def check_growth(job, nginx):
    before = job.mirror(nginx.url("plain"), "plain.db")
    job.deposits(500)
    job.publish()
    said = job.mirror(nginx.url("plain"), "plain.db")
    job.same("plain.db")
    need(said["entries"] == before["entries"] + 500 and said["files"] < 10, str(said))
    return "500 entries more in %d files" % said["files"]


# ---- S3 ---------------------------------------------------------------------------------------------


def signature(secret, region, service, date, request):
    """Signature Version 4 of AWS, by its description."""
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    scope = "/".join((date[:8], region, service, "aws4_request"))
    text = "\n".join(("AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files, refused = {}, []

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        why = self.judge(body)
        if why:
            self.refused.append(why)
        else:
            self.files[self.path] = body
        self.send_response(403 if why else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def judge(self, body):
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return "not signed"
        field = dict(part.strip().split("=", 1) for part in rest.split(","))
        names = field["SignedHeaders"].split(";")
        digest = hashlib.sha256(body).hexdigest()
        if self.headers.get("x-amz-content-sha256") != digest or "x-amz-content-sha256" not in names:
            return "the body's hash is not among what is signed"
        if any(name not in self.headers for name in names):
            return "signed and not sent: %s" % names
        lines = "".join("%s:%s\n" % (name, " ".join(self.headers[name].split())) for name in names)
        request = "\n".join(("PUT", self.path, "", lines, ";".join(names), digest))
        access, date, region, service, _end = field["Credential"].split("/")
        want = signature("secret/key", region, service, self.headers["X-Amz-Date"], request)
        right = (access, date, region, service) == ("AKID", self.headers["X-Amz-Date"][:8], "eu-test-1", "s3")
        return None if right and want == field["Signature"] else "another signature: %s" % rest

    def log_message(self, *_arguments):
        pass


def check_s3(job, _nginx):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home, url = os.path.join(job.folder, "s3"), "http://127.0.0.1:%d/bucket/log" % server.server_port
    try:
        cli("init", "--dir", home, "--origin", "example.org/s3")
        for name in ("ada", "grace", "emmy"):
            cli("append", "--dir", home, "--kind", "account", "--as", name)
        cli("publish", "--dir", home, "--to", url, "--user", "AKID:secret/key", fails="403")
        cli("publish", "--dir", home, "--to", url, "--sigv4", "aws:amz:eu-test-1:s3", fails="two keys")
        cli("publish", "--dir", home, "--to", url, "--user", "AKIX:secret/key", "--sigv4", "aws:amz:eu-test-1:s3",
            fails="403")
        cli("publish", "--dir", home, "--to", url, "--user", "AKIX:wrong", "--sigv4", "aws:amz:eu-test-1:s3",
            fails="403")
        need(len(Bucket.refused) >= 3, str(Bucket.refused))
        cli("publish", "--dir", home, "--to", url, "--user", "AKID:secret/key", "--sigv4", "aws:amz:eu-test-1:s3")
    finally:
        server.shutdown()
        server.server_close()
    # Requests of the publications before may still have been under way.
    refused = [why for why in Bucket.refused if "Credential=AKID/" in why]
    need(not refused, str(refused))
    need("/bucket/log/checkpoint" in Bucket.files and len(Bucket.files) == 3, str(list(Bucket.files)))
    return "%d files" % len(Bucket.files)


CHECKS = (("plain", check_plain), ("gzip", check_gzip), ("zstd", check_zstd), ("PUT", check_put), ("TLS", check_tls),
          ("interrupted", check_interrupted), ("growth", check_growth), ("S3 signatures", check_s3))


def main():
    if not os.access(NGINX, os.X_OK) or not shutil.which("openssl"):
        print("skip nginx: no nginx or no openssl (Debian: nginx openssl)")
        return 0
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.mkdir(os.path.join(folder, "put"))
        certificates(folder)
        try:
            job = Job(folder)
        except Failed as failure:
            print("not ok nginx: %s" % failure)
            return 1
        job.publish()
        nginx = Nginx(folder)
        nginx.start()
        try:
            for name, check in CHECKS:
                try:
                    print("ok nginx %s: %s" % (name, check(job, nginx)), flush=True)
                except (Failed, subprocess.TimeoutExpired) as failure:
                    bad = 1
                    print("not ok nginx %s: %s" % (name, str(failure).replace("\n", " | ")), flush=True)
        finally:
            nginx.stop()
    return bad


if __name__ == "__main__":
    sys.exit(main())
