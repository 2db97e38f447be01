"""Published vectors and edge cases, put to the library and to the replayer of this folder."""
import hashlib
import random
import sys

import edge_cases
from harness import check, main, need
from library import Library, pluralis
from pluralis import errors, identity, log, settlement
from replayer import ed25519, keccak, merkle, note

LIBRARY, VERIFIER = Library(), ed25519.Verifier()
ORIGIN, WITNESS = "example.org/vectors", "witness.example/w"


def raises(kind, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kind:
        return True
    return False


# RFC 8032, 7.1: secret, public key, message, signature.
RFC8032 = (
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)


@check
def rfc8032():
    """RFC 8032 7.1: keys, signatures, verdicts."""
    for secret, public, message, signature in (map(bytes.fromhex, one) for one in RFC8032):
        ours = pluralis.Identity(LIBRARY.context, secret)
        need(ours.public_key == ed25519.public_key(secret) == public, "public key")
        need(ours.sign(message) == ed25519.sign(secret, message) == signature, "signature")
        identity.verify(public, message, signature)
        need(VERIFIER.verify(public, message, signature), "verdict")
        bad = bytes([signature[0] ^ 1]) + signature[1:]
        need(raises(errors.BadSignature, identity.verify, public, message, bad), "a wrong one")
        need(not VERIFIER.verify(public, message, bad), "a wrong one")


@check
def strict_ed25519():
    """Ed25519 edge cases (classes of C2SP/CCTV): of all, the ordinary signature alone is accepted, by both."""
    count = exact = 0
    for name, key, message, signature, holds in edge_cases.cases():
        ours = not raises(errors.PluralisError, identity.verify, key, message, signature)
        need(ours == VERIFIER.verify(key, message, signature) == (holds and name == "A mixed 0, R mixed 0"), name)
        count, exact = count + 1, exact + holds
    need(count > 700 and exact > 300, "too few: %d, %d" % (count, exact))
    secret, public, message, signature = map(bytes.fromhex, RFC8032[0])
    for add in range(1, 16):  # S + n·L: the same signature in other bytes
        s = int.from_bytes(signature[32:], "little") + add * ed25519.L
        if s < 1 << 256:
            other = signature[:32] + s.to_bytes(32, "little")
            need(raises(errors.BadSignature, identity.verify, public, message, other), "S + %d L" % add)
            need(not VERIFIER.verify(public, message, other), "S + %d L" % add)
    return "%d cases, %d of them hold without cofactor" % (count, exact)


# Leaves, roots of their first 1 .. 8 and audit paths of the tests of google/certificate-transparency
# (cpp/merkletree/merkle_tree_test.cc, also in its Java client), which RFC 6962's authors published.
CT_LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                        "606162636465666768696a6b6c6d6e6f")]
CT_ROOTS = """6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125
aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77
d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4
76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef
ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c
5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328""".split()
CT_PATHS = {
    (0, 8): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7 "
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e "
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    (5, 8): "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b "
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0 "
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
}


@check
def rfc6962():
    """RFC 6962: published roots and audit paths."""
    hashes = [merkle.leaf_hash(leaf) for leaf in CT_LEAVES]
    need([log.leaf_hash(leaf) for leaf in CT_LEAVES] == hashes, "leaf hashes")
    need(merkle.root_of([]) == hashlib.sha256(b"").digest(), "the empty tree")
    for size, root in enumerate(CT_ROOTS, 1):
        need(merkle.root_of(hashes[:size]).hex() == merkle.definition(hashes[:size]).hex() == root, "root %d" % size)
    for (index, size), path in CT_PATHS.items():
        path, root = [bytes.fromhex(one) for one in path.split()], bytes.fromhex(CT_ROOTS[size - 1])
        need(merkle.inclusion(hashes[:size], index) == path, "audit path")
        log.verify_inclusion(hashes[index], index, size, path, root)
        need(merkle.check_inclusion(hashes[index], index, size, path, root), "audit path")


def agree(ours, theirs, arguments, expected, what):
    """Both verifiers say `expected`. ours raises, theirs answers."""
    need((not raises(errors.PluralisError, ours, *arguments)) == theirs(*arguments) == expected, what)


@check
def rfc9162():
    """RFC 9162 2.1.3.2, 2.1.4.2: every proof of every tree up to 40, and each with something wrong."""
    hashes, count = [merkle.leaf_hash(b"%d" % i) for i in range(41)], 0
    roots = [merkle.root_of(hashes[:size]) for size in range(41)]
    for size in range(1, 41):
        for index in range(size):
            proof = merkle.inclusion(hashes[:size], index)
            wrong = [proof[:-1], proof + [bytes(32)], proof[::-1], [bytes(32)] + proof[1:]]
            for one in [proof] + wrong:
                agree(log.verify_inclusion, merkle.check_inclusion, (hashes[index], index, size, one, roots[size]),
                      one == proof, "inclusion %d in %d" % (index, size))
                count += 1
        for old in range(1, size + 1):
            proof = merkle.consistency(hashes[:size], old)
            wrong = [proof[:-1], proof + [bytes(32)], proof[::-1], [bytes(32)] + proof[1:]]
            for one in [proof] + wrong:
                agree(log.verify_consistency, merkle.check_consistency, (old, roots[old], size, roots[size], one),
                      one == proof, "consistency %d, %d" % (old, size))
                count += 1
    return "%d proofs" % count


# C2SP signed-note v1.1.0, "Verifier keys" and "Example".
NOTE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = ("This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1"
        "ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n").encode()
# C2SP tlog-cosignature v1.0.1, the example of its introduction; its keys are not published.
COSIGNED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGz\
Gku9nTo+zyWE+xeMcTOAYQ8=
\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ\
qhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()


@check
def notes():
    """C2SP signed-note, tlog-checkpoint, tlog-cosignature: the examples of the specifications."""
    key = note.parse_vkey(NOTE_KEY)
    need(note.vkey(*key) == NOTE_KEY == log.vkey(key[0], key[2]), "verifier key")
    need(note.verify(NOTE, [key], VERIFIER) == ("This is an example message.\n", [key]), "example note")
    need(raises(note.BadNote, note.verify, NOTE.replace(b"an", b"no", 1), [key], VERIFIER), "another text")
    text, lines = note.split(COSIGNED)
    need(note.parse_checkpoint(text)[:2] == ("example.com/behind-the-sofa", 20852163), "example checkpoint")
    message, _ = note.signed_text(note.COSIGNATURE, text, note.unbase64(lines[1][1])[4:])
    need(message == b"cosignature/v1\ntime 1679315147\n" + text.encode(), "example cosignature")


def read_checkpoint(raw, key):
    """What the replayer makes of it; None."""
    try:
        return note.open_checkpoint(raw, ORIGIN, key, VERIFIER)
    except note.BadNote:
        return None


def scrambled_note(random, whole):
    out = bytearray(whole)
    for _ in range(random.choice((1, 1, 2))):
        at, how = random.randrange(len(out)), random.randrange(7)
        if how == 0:
            out[at] ^= 1 << random.randrange(8)
        elif how == 1:
            out[at:at + random.randrange(1, 5)] = b""
        elif how == 2:
            out[at:at] = random.choice((b"\n", b" ", b"+", b"=", b"\xc2\xa0", b"\xff", b"0", b"\0", b"\n\n"))
        elif how == 3:
            line = random.choice((b"x AAAAAAAA", b"x AAAA", ORIGIN.encode() + b" AAAAAAAA", b"x+y AAAAAAAA",
                                  b"x !AAAAAAA", b"x\xc2\xa0y AAAAAAAA", ORIGIN.encode() + b" " + b"A" * 400,
                                  b" AAAAAAAA"))
            out += b"\xe2\x80\x94 " + line + b"\n"
        elif how == 4:
            text, signatures = bytes(out).split(b"\n\n")[0], bytes(out).split(b"\n\n")[-1]
            out = bytearray(text + b"\nan extension\n\n" + signatures)
        elif how == 5:
            out = bytearray(bytes(out) + bytes(out).split(b"\n\n")[-1] * random.choice((1, 126, 127, 128)))
        else:
            out = bytearray(bytes(out).replace(b"=", random.choice((b"", b"A", b"==")), 1))
        out = out or bytearray(b"x")
    return bytes(out)


def texts():
    """Texts that are checkpoints, and such that are nearly."""
    root = note.checkpoint_text(ORIGIN, 5, bytes(range(32))).split("\n")[2]
    for size in ("0", "5", "05", "", "+5", "5 ", "x", "9223372036854775807", "9223372036854775808", "1" * 30, "\u0665"):
        yield "%s\n%s\n%s\n" % (ORIGIN, size, root)
    for other in (root[:-1], root[:-2] + "B=", root + "=", "AAAA", "", root.replace("+", "-").replace("/", "_")):
        yield "%s\n5\n%s\n" % (ORIGIN, other)
    for more in ("", "more\n", "more\nand more\n", "\n", "a\n\nb\n"):
        yield "%s\n5\n%s\n%s" % (ORIGIN, root, more)
    yield "elsewhere\n5\n%s\n" % root
    yield "%s\n5\n" % ORIGIN


@check
def scrambled_checkpoints():
    """Checkpoints, nearly checkpoints and scrambled ones: both read the same, or both refuse."""
    randomness, seed = random.Random(5), b"\5" * 32
    key, accepted, count = ed25519.public_key(seed), 0, 0
    whole = [note.sign(text, ORIGIN, seed, ed25519) for text in texts()]
    for raw in whole + [scrambled_note(randomness, whole[i % 2]) for i in range(4000)]:
        try:
            ours = tuple(log.verify_checkpoint(raw, ORIGIN, key))
        except errors.PluralisError:
            ours = None
        need(ours == read_checkpoint(raw, key), "%r: the library says %r" % (raw, ours))
        accepted, count = accepted + (ours is not None), count + 1
    need(20 < accepted < count // 2, "%d of %d accepted" % (accepted, count))
    return "%d of %d accepted" % (accepted, count)


@check
def cosignatures_and_proofs():
    """Cosignatures, witness requests and proof files, each made by one side and checked by the other."""
    seed, wseed = b"\5" * 32, b"\6" * 32
    me, wit = pluralis.Identity(LIBRARY.context, seed), pluralis.Identity(LIBRARY.context, wseed)
    ledger = pluralis.Ledger(LIBRARY.context, origin=ORIGIN, sequencer=me)
    for _ in range(300):
        ledger.close_epoch()
    text, _ = note.verify(ledger.checkpoint(), [(ORIGIN, note.NOTE, me.public_key)], VERIFIER)
    ledger.cosign(WITNESS, wit.public_key, note.cosign(text, WITNESS, wseed, 1700000000, ed25519))
    signed = ledger.resource("checkpoint")
    keys = [(ORIGIN, note.NOTE, me.public_key), (WITNESS, note.COSIGNATURE, wit.public_key)]
    need(note.verify(signed, keys, VERIFIER)[1] == keys, "our cosignature, carried by the library")
    need(log.count_cosignatures(LIBRARY.context, signed, [(WITNESS, wit.public_key)]) == (1, 1700000000), "counted")

    witness = log.Witness(LIBRARY.context, WITNESS, wit)
    witness.add_log(ORIGIN, me.public_key)
    request = ledger.witness_request().decode()
    need(request == "old 0\n\n" + signed.decode(), "first request")
    answer = witness.add_checkpoint(1700000001, request.encode())
    theirs = note.verify(ledger.checkpoint().split(b"\n\n")[0] + b"\n\n" + answer.body, [keys[1]], VERIFIER)
    need(answer.http_status == 200 and theirs[1] == [keys[1]], "the library's cosignature")
    old, entries = 301, [ledger.entry(i) for i in range(301)]
    ledger.close_epoch()
    ledger.checkpoint()
    hashes = [merkle.leaf_hash(one) for one in entries + [ledger.entry(301)]]
    lines = ledger.witness_request(old).decode().split("\n\n")[0].split("\n")
    need(lines[0] == "old 301" and [note.unbase64(one) for one in lines[1:]] == merkle.consistency(hashes, old),
         "consistency proof of a request")

    proof = ledger.proof(7).decode()
    head, checkpoint = proof.split("\n\n", 1)
    lines = head.split("\n")
    need(lines[:2] == ["c2sp.org/tlog-proof@v1", "index 7"], "proof file")
    size, root = note.open_checkpoint(checkpoint.encode(), ORIGIN, me.public_key, VERIFIER)
    path = [note.unbase64(one) for one in lines[2:]]
    need(size == 302 and path == merkle.inclusion(hashes, 7) and merkle.check_inclusion(hashes[7], 7, size, path, root),
         "path of a proof file")
    for extra in ("", "extra AAAA\n"):
        other = proof.replace("index 7\n", extra + "index 7\n")
        found = log.verify_proof(LIBRARY.context, other.encode(), entries[7], origin=ORIGIN, public_key=me.public_key)
        need(found == (7, 302), "proof file with %r" % extra)


@check
def tiles():
    """C2SP tlog-tiles: paths, and the tiles of 70,000 entries that its text counts."""
    need(merkle.tile_path(1234067) == "x001/x234/067" and merkle.tile_path(0) == "000", "paths")
    found = {}
    for level, _, width in merkle.tiles(70000):
        found.setdefault(level, []).append(width)
    need({level: (widths.count(256), [w for w in widths if w < 256]) for level, widths in found.items()}
         == {0: (273, [112]), 1: (1, [17]), 2: (0, [1])}, "tiles")
    need(list(merkle.tiles(256)) == [(0, 0, 256), (1, 0, 1)], "tiles of 256")


def sha3_256(data):
    return keccak.keccak256(data, 0x06)


@check
def keccak256():
    """Keccak-256: known digests; with FIPS 202's padding it is the standard library's SHA3-256."""
    need(keccak.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470", "empty")
    need(keccak.keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45", "abc")
    for size in list(range(290)) + [407, 408, 409]:
        data = hashlib.shake_128(b"%d" % size).digest(size)
        need(settlement.keccak256(data) == keccak.keccak256(data), "Keccak-256 of %d bytes" % size)
        need(sha3_256(data) == hashlib.sha3_256(data).digest(), "SHA3-256 of %d bytes" % size)


# OpenZeppelin/merkle-tree, test/dumps/standard-v1.sorted.1_0_6.json: the tree over the strings a .. f.
OZ_DUMP = """6deb52b5da8fd108f79fab00341f38d2587896634c646ee52e49f845680a70c8
52426e0f1f65ff7e209a13b8c29cffe82e3acaf3dad0a9b9088f3b9a61a929c3
fd3cf45654e88d1cc5d663578c82c76f4b5e3826bacaa1216441443504538f51
8076923e76cf01a7c048400a2304c9a9c23bbbdac3a98ea3946340fdafbba34f
965b92c6cf08303cc4feb7f3e0819c436c2cec17c6f0688a6af139c9a368707c
eba909cf4bb90c6922771d7f126ad0fd11dfde93f3937a196274e1ac20fd2f5b
c62a8cfa41edc0ef6f6ae27a2985b7d39c7fea770787d7e104696c6e81f64848
9cf5a63718145ba968a01c1d557020181c5b252f665cf7386d370eddb176517b
9c15a6a0eaeed500fd9eed4cbeab71f797cefcc67bfd46683e4d2e6ff7f06d1c
9a4f64e953595df82d1b4f570d34c4f4f0cfaf729a61e9d60e83e579e1aa283e
19ba6c6333e0e9a15bf67523e0676e2f23eb8e574092552d5e888c64a4bb3681""".split()
OZ_PLACES = [8, 10, 7, 5, 9, 6]


def abi_string(text):
    return keccak.word(32) + keccak.word(len(text)) + text + bytes(-len(text) % 32)


@check
def openzeppelin():
    """OpenZeppelin's StandardMerkleTree: its dump, its README, and proofs of every leaf."""
    encoded = [abi_string(c.encode()) for c in "abcdef"]
    tree = keccak.StandardTree(encoded)
    need([one.hex() for one in tree.tree] == OZ_DUMP and [tree.place[i] for i in range(6)] == OZ_PLACES, "dump")
    readme = keccak.StandardTree([keccak.word(b"\x11" * 20) + keccak.word(5 * 10 ** 18),
                                  keccak.word(b"\x22" * 20) + keccak.word(25 * 10 ** 17)])
    need(readme.root.hex() == "d4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77", "README")
    for count in range(1, 20):
        encoded = [abi_string(b"%d" % i) for i in range(count)]
        tree = keccak.StandardTree(encoded)
        for i in range(count):
            need(keccak.proof_root(encoded[i], tree.proof(i)) == tree.root, "proof %d of %d" % (i, count))


@check
def morpho():
    """Morpho's UniversalRewardsDistributor: leaves (address, address, uint256), the root by OpenZeppelin's library."""
    reward, tree = b"\xaa" * 20, None
    claims = ((b"\x11" * 20, 5 * 10 ** 18), (b"\x22" * 20, 25 * 10 ** 17), (b"\x33" * 20, 1))
    tree = keccak.StandardTree([keccak.claim_leaf(account, reward, amount) for account, amount in claims])
    need(tree.root.hex() == "0042337f42db4c2364d8b99998fd6176b5cbfbb87ae1043b81a08761351a46fa", "root")
    leaves = [settlement.Leaf(account, reward, amount) for account, amount in claims]
    need(settlement.root(LIBRARY.context, leaves) == tree.root, "the library's root")
    for i, leaf in enumerate(leaves):
        proof = settlement.prove(LIBRARY.context, leaves, i)
        need(proof == tree.proof(i), "the library's proof")
        settlement.verify(leaf, proof, tree.root)
        other = settlement.Leaf(leaf.account, reward, leaf.claimable + 1)
        need(raises(errors.PluralisError, settlement.verify, other, proof, tree.root), "one unit more")


if __name__ == "__main__":
    sys.exit(main())
