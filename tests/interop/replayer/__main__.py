"""python3 -m replayer EXPORT_OR_FOLDER --origin NAME --key HEX [--skip-signatures] [--codes FILE]

Replays a log from nothing and prints what it comes to, one `name value` a line.
"""
import argparse
import os
import sys

from . import BadLog, ed25519, files, note, replay


def main():
    parser = argparse.ArgumentParser(prog="replayer")
    parser.add_argument("log", help="an export, or a folder of published files")
    parser.add_argument("--origin", required=True)
    parser.add_argument("--key", required=True, help="the sequencer's public key in hex")
    parser.add_argument("--skip-signatures", action="store_true", help="believe those of entries")
    parser.add_argument("--codes", help="write the code of every entry to this file, one a line")
    options = parser.parse_args()
    if os.path.isdir(options.log):
        point, entries = files.read_site(options.log)
    else:
        with open(options.log, "rb") as f:
            point, entries = files.read_export(f.read())
    verifier = ed25519.Verifier()
    try:
        machine, codes = replay(point, entries, options.origin, bytes.fromhex(options.key), verifier,
                                options.skip_signatures)
    except (BadLog, note.BadNote) as bad:
        sys.exit("replayer: %s" % bad)
    if options.codes:
        with open(options.codes, "w") as f:
            f.writelines(code + "\n" for code in codes)
    total = machine.open
    for name, value in (("entries", machine.log.size), ("rejected", machine.rejected), ("root", machine.log.root.hex()),
                        ("state", machine.state.root().hex()), ("epoch", total.epoch), ("accounts", total.accounts),
                        ("models", total.models), ("minted", total.minted), ("deposited", total.deposited),
                        ("paid", total.paid)):
        print(name, value)


main()
