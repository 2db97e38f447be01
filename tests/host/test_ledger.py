"""pluralis-ledger as a user meets it: every command, what it refuses, and the demonstration."""
import hashlib
import html.parser
import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
import xml.etree.ElementTree
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import host

CLI = os.path.join(host.BUILD, "examples", "pluralis-ledger")
MODEL, OTHER = "ab" * 32, "cd" * 32
COSTS = [900, 600, 600, 1100]


def run(*arguments, stdin=None):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([CLI, *map(str, arguments)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = os.path.join(self.folder, "job")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def good(self, *arguments):
        status, out, err = run(*arguments)
        self.assertEqual((status, err), (0, ""), arguments)
        return out

    def json(self, *arguments):
        return json.loads(self.good(*arguments, "--json"))

    def bad(self, says, *arguments, status=1, stdin=None):
        got, out, err = run(*arguments, stdin=stdin)
        self.assertEqual((got, out), (status, ""), (arguments, err))
        self.assertRegex(err, says)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("pluralis-ledger"))

    def append(self, kind, who, *more):
        return self.json("append", "--dir", self.home, "--kind", kind, "--as", who, *more)

    def init(self, *more):
        said = self.json("init", "--dir", self.home, "--origin", "example.org/cli", *more)
        self.vkey = said["vkey"]
        return said

    def populate(self):
        """A model with one closed epoch of work by two workers, and revenue."""
        self.init("--currency", "EUR")
        for who in ("ada", "wes", "val", "feed"):
            self.append("account", who)
        self.append("model", "ada", "--model", MODEL, "--costs", ",".join(map(str, COSTS)), "--designer-bps", 1000,
                    "--rate", 1, "--divisor", 1000)
        for who, first, up, down in (("wes", 0, "feed", "val"), ("val", 2, "wes", "feed")):
            self.append("receipt", who, "--model", MODEL, "--block-first", first, "--block-end", first + 2,
                        "--tokens", 100, "--amount", 100 * sum(COSTS[first:first + 2]), "--upstream", up,
                        "--downstream", down)
        self.json("append", "--dir", self.home, "--kind", "close")
        self.append("deposit", "ada", "--model", MODEL, "--amount", 1000003)
        self.json("append", "--dir", self.home, "--kind", "close")

    # ---- commands ---------------------------------------------------------------------------------

    def test_a_life(self):
        self.populate()
        shown = self.json("show", "--dir", self.home)
        self.assertEqual((shown["entries"], shown["epoch"], shown["accounts"], shown["models"], shown["receipts"]),
                         (11, 2, 5, 1, 2))
        self.assertEqual((shown["currency"], shown["decimals"], shown["deposited"]), ("EUR", 2, 1000003))
        self.assertIn("10,000.03 EUR", self.good("show", "--dir", self.home))
        entries = self.json("show", "--dir", self.home, "--from", 5, "--count", 100)
        self.assertEqual([e["entry"]["type"] for e in entries],
                         ["model_register", "receipt", "receipt", "epoch_close", "revenue_deposit", "epoch_close"])
        self.assertEqual(len(self.good("show", "--dir", self.home, "--count", 4).splitlines()), 5)

        model, = self.json("balances", "--dir", self.home)
        self.assertEqual((model["model"], model["deposited"], model["supply"]), (MODEL, 1000003, 320))
        self.assertEqual(sorted(h["shares"] for h in model["holders"] if h["shares"]), [32, 135, 153])
        self.assertIn(sum(h["payable"] for h in model["holders"]), range(1000000, 1000004))
        self.assertEqual(self.json("balances", "--dir", self.home, "--model", MODEL), [model])
        self.assertIn("10.00%", self.good("balances", "--dir", self.home))

        before = [h for h in model["holders"] if h["shares"] == 32][0]
        self.append("claim", "ada", "--model", MODEL)
        model, = self.json("balances", "--dir", self.home)
        after = [h for h in model["holders"] if h["account"] == before["account"]][0]
        self.assertEqual((after["paid"], after["payable"]), (before["payable"], 0))
        self.append("transfer", "ada", "--model", MODEL, "--to", "feed", "--shares", 5)
        self.json("append", "--dir", self.home, "--kind", "close")
        model, = self.json("balances", "--dir", self.home)
        self.assertEqual(sorted(h["shares"] for h in model["holders"] if h["shares"]), [5, 27, 135, 153])

    def test_entry_from_elsewhere(self):
        self.populate()
        entry = self.path("claim.entry")
        self.assertEqual(self.good("append", "--dir", self.home, "--kind", "claim", "--as", "wes", "--model", MODEL,
                                   "--out", entry), "")
        self.assertEqual(self.json("append", "--dir", self.home, "--kind", "file", "--entry", entry)["index"], 11)
        self.bad("PLR_ERR_SEQUENCE", "append", "--dir", self.home, "--kind", "file", "--entry", entry)
        with open(entry, "rb") as f:
            data = bytearray(f.read())
        data[-1] ^= 1
        self.bad("PLR_ERR_", "append", "--dir", self.home, "--kind", "file", "--entry", "-", stdin=bytes(data))
        self.bad("PLR_ERR_", "append", "--dir", self.home, "--kind", "file", "--entry", "-", stdin=b"")
        self.bad("larger than 65535", "append", "--dir", self.home, "--kind", "file", "--entry", "-",
                 stdin=bytes(70000))
        self.assertEqual(self.json("show", "--dir", self.home)["entries"], 12)

    def test_prove_and_verify(self):
        self.populate()
        self.append("claim", "wes", "--model", MODEL)
        out = self.path("wes")
        said = self.json("prove", "--dir", self.home, "--account", "wes", "--out", out)
        self.assertEqual((said["index"], said["entries"]), (11, 12))
        checked = self.json("verify", "--proof", out + ".tlog-proof", "--entry", out + ".entry", "--vkey", self.vkey)
        self.assertEqual((checked["index"], checked["size"], checked["entry"]["type"]), (11, 12, "claim"))
        self.assertIn("entry 11 of the 12", self.good("verify", "--proof", out + ".tlog-proof", "--entry",
                                                      out + ".entry", "--vkey", self.vkey))
        other = self.path("other")
        self.json("prove", "--dir", self.home, "--index", 10, "--out", other)
        check = ("verify", "--proof", out + ".tlog-proof", "--vkey", self.vkey)
        self.bad("PLR_ERR_PROOF", *check, "--entry", other + ".entry")
        self.bad("PLR_ERR_SIGNATURE", "verify", "--proof", out + ".tlog-proof", "--entry", out + ".entry", "--vkey",
                 self.json("init", "--dir", self.path("b"), "--origin", "example.org/cli")["vkey"])
        self.bad("No such file", *check, "--entry", self.path("none"))
        self.bad("--entry is needed", *check)
        self.bad("12 entries|PLR_ERR_NOT_FOUND", "prove", "--dir", self.home, "--index", 12, "--out", other)
        self.bad("one of --index and --account", "prove", "--dir", self.home, "--out", other)
        self.bad("has no entry", "prove", "--dir", self.home, "--account", "00" * 32, "--out", other)

    def test_export_and_verify(self):
        self.populate()
        log = self.path("log.export")
        self.json("export", "--dir", self.home, "--out", log)
        said = self.json("verify", "--log", log, "--vkey", self.vkey)
        shown = self.json("show", "--dir", self.home)
        self.assertEqual([said[k] for k in ("entries", "root", "state_root", "deposited")],
                         [shown[k] for k in ("entries", "root", "state_root", "deposited")])
        self.assertIn("11 entries of example.org/cli hold", self.good("verify", "--log", log, "--vkey", self.vkey))
        self.json("verify", "--log", log, "--vkey", self.vkey, "--trust")
        with open(log, "r+b") as f:
            f.seek(-40, 2)
            byte = f.read(1)
            f.seek(-40, 2)
            f.write(bytes([byte[0] ^ 1]))
        self.bad("PLR_ERR_", "verify", "--log", log, "--vkey", self.vkey)
        os.truncate(log, 300)
        self.bad("PLR_ERR_TRUNCATED", "verify", "--log", log, "--vkey", self.vkey)
        self.bad("one of --log and --proof", "verify", "--vkey", self.vkey)
        self.bad("--vkey is needed", "verify", "--log", log)

    def test_a_long_log_shows_a_bar(self):
        self.init()
        self.append("account", "ada")
        self.append("model", "ada", "--model", MODEL, "--costs", "5")
        count = 20000
        said = self.append("deposit", "ada", "--model", MODEL, "--amount", 1, "--repeat", count, "--quiet")
        self.assertEqual((said["count"], said["entries"]), (count, count + 3))
        log = self.path("log.export")
        self.json("export", "--dir", self.home, "--out", log)
        ours, theirs = pty.openpty()
        child = subprocess.Popen([CLI, "verify", "--log", log, "--vkey", self.vkey, "--trust"], stderr=theirs,
                                 stdout=subprocess.PIPE, text=True)
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the terminal is gone with its last user
                break
            if not piece:
                break
            seen += piece
        os.close(ours)
        out, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0)
        self.assertIn("20003 entries", out.replace(",", ""))
        self.assertRegex(seen.decode(), r"verify \[#{30}\] 20,003 of 20,003 entries")

    def serve(self, folder):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return "http://127.0.0.1:%d" % server.server_port

    def test_publish_and_mirror(self):
        self.populate()
        site = self.path("site")
        self.assertEqual(self.json("publish", "--dir", self.home, "--to", site)["entries"], 11)
        url, copy = self.serve(site), self.path("copy.db")
        mirror = ("mirror", "--url", url, "--vkey", self.vkey, "--db", copy)
        self.assertEqual(self.json(*mirror)["entries"], 11)
        ours = self.json("balances", "--dir", self.home)
        self.assertEqual(self.json("balances", "--db", copy), ours)
        self.append("claim", "wes", "--model", MODEL)
        self.good("publish", "--dir", self.home, "--to", site)
        self.assertIn("12 entries", self.good(*mirror))
        self.json("prove", "--db", copy, "--index", 11, "--out", self.path("p"))
        self.json("verify", "--proof", self.path("p.tlog-proof"), "--entry", self.path("p.entry"), "--vkey", self.vkey)
        self.json("export", "--db", copy, "--out", self.path("e"))
        self.json("verify", "--log", self.path("e"), "--vkey", self.vkey)
        self.bad("PLR_ERR_SIGNATURE", *mirror[:-1], self.path("c2.db"), "--quorum", 1, "--witness", self.witness()[0])
        self.bad("PLR_ERR_NOT_FOUND", "mirror", "--url", url + "/none", "--vkey", self.vkey, "--db", copy)
        self.bad("PLR_ERR_UNAVAILABLE", "mirror", "--url", "http://127.0.0.1:1", "--vkey", self.vkey, "--db", copy,
                 "--retries", 0)
        self.bad("PLR_ERR_INVALID_ARGUMENT", "mirror", "--url", "gopher://x", "--vkey", self.vkey, "--db", copy)
        # A site that was set back: refused, and what it showed is kept.
        shutil.rmtree(site)
        again = self.path("again")
        self.json("init", "--dir", again, "--origin", "example.org/x")
        shutil.copy(os.path.join(self.home, "keys", "sequencer.key"), os.path.join(again, "keys", "sequencer.key"))
        os.remove(os.path.join(again, "ledger.db"))
        self.json("init", "--dir", again, "--origin", "example.org/cli", "--currency", "EUR")
        self.good("publish", "--dir", again, "--to", site)
        status, _, err = run(*mirror)
        self.assertEqual(status, 1)
        self.assertRegex(err, "PLR_ERR_SEQUENCE")
        with open(copy + ".refused", encoding="utf-8") as f:
            self.assertTrue(f.read().startswith("example.org/cli\n1\n"))

    def witness(self):
        """The verifier key of a witness, by its definition; and the name."""
        name, key = "witness.example/w", bytes(range(32))
        digest = hashlib.sha256(name.encode() + b"\n\x04" + key).digest()[:4]
        import base64
        return "%s+%s+%s" % (name, digest.hex(), base64.b64encode(b"\x04" + key).decode()), name

    def test_witness(self):
        self.populate()
        vkey, _name = self.witness()
        url = self.serve(self.folder)
        self.bad("PLR_ERR_IO.*|501", "witness", "--dir", self.home, "--url", url, "--witness", vkey)
        self.bad("are needed", "witness", "--dir", self.home, "--url", url)
        self.bad("not the verifier key of a witness", "witness", "--dir", self.home, "--url", url, "--witness",
                 self.vkey)

    def test_settle(self):
        self.populate()
        reward, address = "0x" + "aa" * 20, "0x" + "11" * 20
        settle = ("settle", "--dir", self.home, "--reward", reward, "--scale", 16)
        self.bad("PLR_ERR_NOT_FOUND", *settle)
        self.append("claim", "wes", "--model", MODEL, "--address", address, "--amount", 700)
        self.append("claim", "val", "--model", MODEL, "--address", "0x" + "22" * 20, "--amount", 900)
        said = self.json(*settle)
        self.assertEqual([leaf["account"] for leaf in said["leaves"]], ["11" * 20, "22" * 20])
        self.assertEqual([int(leaf["claimable"], 16) for leaf in said["leaves"]], [700 * 10 ** 16, 900 * 10 ** 16])
        self.assertTrue(all(len(leaf["proof"]) == 1 for leaf in said["leaves"]))
        self.assertIn(said["root"], self.good(*settle))
        self.bad("--reward", "settle", "--dir", self.home, "--reward", "aa" * 20)

    # ---- what is refused ------------------------------------------------------------------------------

    def test_usage(self):
        status, out, err = run()
        self.assertEqual((status, out), (2, ""))
        self.assertIn("SYNOPSIS", err)
        for flag in ("--help", "help"):
            self.assertIn("COMMANDS", self.good(flag))
        names = re.findall(r"^  ([a-z]+)  +", self.good("--help").split("COMMANDS")[1].split("FILES")[0], re.M)
        self.assertEqual(len(names), 12)
        for name in names:
            self.assertIn("OPTIONS", self.good(name, "--help"))
            self.bad("'--wrong' is not an option", name, "--wrong", status=2)
        self.bad("not a command", "frobnicate", status=2)
        self.bad("needs a value", "show", "--dir", status=2)
        self.bad("given twice", "show", "--json", "--json", status=2)
        self.bad("not a whole number", "show", "--count", "many", status=2)

    def test_bad_input(self):
        nowhere = self.path("nowhere")
        for command in ("show", "balances"):
            self.bad("No such file", command, "--dir", nowhere)
        self.bad("No such file", "append", "--dir", nowhere, "--kind", "close")
        self.assertFalse(os.path.exists(nowhere))
        self.bad("--origin is needed", "init", "--dir", self.home)
        self.bad("PLR_ERR_INVALID_ARGUMENT", "init", "--dir", self.home, "--origin", "two words")
        self.init()
        self.bad("there is a ledger already", "init", "--dir", self.home, "--origin", "example.org/cli")
        with open(self.path("text"), "w", encoding="ascii") as f:
            f.write("not a database, and long enough to be looked at as one\n" * 20)
        self.bad("PLR_ERR_CORRUPT", "show", "--db", self.path("text"))
        base = ("append", "--dir", self.home)
        self.bad("--kind is needed", *base)
        self.bad("there is no 'gift'", *base, "--kind", "gift")
        self.bad("whose key", *base, "--kind", "account")
        self.bad("is not a name of a key", *base, "--kind", "account", "--as", "../x")
        self.bad("--model is needed", *base, "--kind", "deposit", "--as", "ada", "--amount", 5)
        self.bad("64 hexadecimal digits", *base, "--kind", "deposit", "--as", "ada", "--model", "xyz")
        self.bad("PLR_ERR_", *base, "--kind", "deposit", "--as", "ada", "--model", MODEL, "--amount", 5)
        self.append("account", "ada")
        self.bad("PLR_ERR_", *base, "--kind", "account", "--as", "ada")
        self.bad("--costs is needed", *base, "--kind", "model", "--as", "ada", "--model", MODEL)
        self.bad("--costs", *base, "--kind", "model", "--as", "ada", "--model", MODEL, "--costs", "5,,6")
        self.bad("--parents", *base, "--kind", "model", "--as", "ada", "--model", MODEL, "--costs", "5", "--parents",
                 MODEL)
        self.bad("PLR_ERR_NOT_FOUND", *base, "--kind", "model", "--as", "ada", "--model", MODEL, "--costs", "5",
                 "--parents", OTHER + ":100")
        self.bad("the log has 2 entries", "show", "--dir", self.home, "--from", 2, "--count", 1)
        os.chmod(os.path.join(self.home, "keys", "ada.key"), 0o644)
        self.bad("others may read this key", *base, "--kind", "claim", "--as", "ada", "--model", MODEL)
        for wrong in ("x", "a+b+c", self.vkey[:-1], self.vkey.replace("example", "elpmaxe"), self.vkey + "x"):
            self.bad("verifier key", "verify", "--log", self.path("text"), "--vkey", wrong)
        self.bad("--quorum 1: there are 0", "mirror", "--url", "http://x", "--db", "x", "--vkey", self.vkey,
                 "--quorum", 1)
        self.bad("--to is needed", "publish", "--dir", self.home)
        self.bad("--out FILE is needed", "export", "--dir", self.home)
        self.assertEqual(self.json("show", "--dir", self.home)["entries"], 2)

    # ---- the demonstration ------------------------------------------------------------------------------

    def test_demo(self):
        out = self.path("demo")
        said = self.json("demo", "--out", out)
        first, fork = said["models"]
        self.assertEqual(said["royalty"], fork["deposited"] * 1250 // 10000)
        self.assertEqual((fork["royalty_out"], first["royalty_in"]), (said["royalty"], said["royalty"]))
        for model, came in ((first, first["deposited"] + said["royalty"]), (fork, fork["deposited"] - said["royalty"])):
            paid = sum(model["paid_to"].values())
            self.assertEqual(paid, model["paid"])
            self.assertIn(came - paid, range(0, len(model["paid_to"])))
        self.assertTrue(all(first["paid_to"][who] > 0 for who in ("ada", "grace", "emmy", "barbara")))
        self.assertEqual(first["paid_to"]["edsger"], 0)

        away = self.path("away")  # the holder has two files and the key, and nothing else
        os.mkdir(away)
        for name in ("grace.entry", "grace.tlog-proof"):
            shutil.move(os.path.join(out, name), away)
        shutil.move(os.path.join(out, "ledger.export"), away)
        with open(os.path.join(out, "report.html"), encoding="utf-8") as f:
            page = f.read()
        shutil.rmtree(out)
        proven = self.json("verify", "--proof", os.path.join(away, "grace.tlog-proof"), "--entry",
                           os.path.join(away, "grace.entry"), "--vkey", said["vkey"])
        self.assertEqual((proven["entry"]["type"], proven["index"]), ("claim", said["claim_index"]))
        log = self.json("verify", "--log", os.path.join(away, "ledger.export"), "--vkey", said["vkey"])
        self.assertEqual(log["paid"], first["paid"] + fork["paid"])
        self.check_page(page, said)

    def check_page(self, page, said):
        figures = re.findall(r"<svg.*?</svg>", page, re.S)
        self.assertEqual(len(figures), 2)
        for figure in figures:
            xml.etree.ElementTree.fromstring(figure)
        self.assertNotRegex(page, r"(?i)<script|src=|https?://(?!www\.w3)")
        text = re.sub(r"<[^>]*>", " ", page)
        money = "{:,.2f}".format
        for amount in [said["royalty"]] + [m["paid"] for m in said["models"]] + \
                [paid for m in said["models"] for paid in m["paid_to"].values() if paid]:
            self.assertIn(money(amount / 100), text)
        faults = []

        class Page(html.parser.HTMLParser):
            open = []

            def handle_starttag(self, tag, _attrs):
                if tag not in ("meta", "!doctype"):
                    self.open.append(tag)

            def handle_startendtag(self, tag, attrs):
                pass

            def handle_endtag(self, tag):
                if not self.open or self.open.pop() != tag:
                    faults.append(tag)

        Page().feed(page)
        self.assertEqual(faults, [])
        self.bad("there is a ledger already", "demo", "--out", self.again())

    def again(self):
        out = self.path("twice")
        self.json("demo", "--out", out)
        return out


if __name__ == "__main__":
    unittest.main()
