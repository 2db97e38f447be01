// The other side of interop_log.c, on the transparency log code that Go's module mirror runs (golang.org/x/mod/sumdb).
//
//	log write FOLDER   makes a log, signs and proves at every size of interest: FOLDER/theirs.txt
//	log check FOLDER   rebuilds our log from FOLDER/site, and checks FOLDER/ours.txt and every tile against it
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const last = 65537

func ofInterest(size int64) bool { return size <= 1025 || size >= last-2 }

func need(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "log: %s: %v\n", what, err)
		os.Exit(1)
	}
}

func fail(format string, args ...interface{}) { need(fmt.Errorf(format, args...), "wrong") }

// memory is a log's stored hashes.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		if i >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d of %d", i, len(m))
		}
		out = append(out, m[i])
	}
	return out, nil
}

func (m *memory) add(n int64, entry []byte) {
	hashes, err := tlog.StoredHashes(n, entry, *m)
	need(err, "stored hashes")
	*m = append(*m, hashes...)
}

func root(m memory, size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, m)
	need(err, "tree hash")
	return h
}

func join(hashes []tlog.Hash) string {
	var all []byte
	for _, h := range hashes {
		all = append(all, h[:]...)
	}
	return base64.StdEncoding.EncodeToString(all)
}

func split(text string) []tlog.Hash {
	data, err := base64.StdEncoding.DecodeString(text)
	need(err, "base64")
	var out []tlog.Hash
	for ; len(data) >= 32; data = data[32:] {
		var h tlog.Hash
		copy(h[:], data)
		out = append(out, h)
	}
	return out
}

func write(folder string) {
	skey, vkey, err := note.GenerateKey(fixed(), "example.org/theirs")
	need(err, "key")
	signer, err := note.NewSigner(skey)
	need(err, "signer")
	f, err := os.Create(filepath.Join(folder, "theirs.txt"))
	need(err, "create")
	out := bufio.NewWriter(f)
	fmt.Fprintf(out, "key %s\n", vkey)
	var m memory
	var leaves []tlog.Hash
	for size := int64(1); size <= last; size++ {
		entry := []byte(fmt.Sprintf("entry %d", size))
		m.add(size-1, entry)
		leaves = append(leaves, tlog.RecordHash(entry))
		if !ofInterest(size) {
			continue
		}
		h := root(m, size)
		text := fmt.Sprintf("example.org/theirs\n%d\n%s\n", size, base64.StdEncoding.EncodeToString(h[:]))
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		need(err, "sign")
		fmt.Fprintf(out, "size %d %s\n", size, base64.StdEncoding.EncodeToString(signed))
		for _, i := range []int64{0, size / 2, size - 1} {
			p, err := tlog.ProveRecord(size, i, m)
			need(err, "prove record")
			fmt.Fprintf(out, "record %d %d %s %s\n", i, size, base64.StdEncoding.EncodeToString(leaves[i][:]), join(p))
		}
		for _, old := range []int64{1, size / 2, size - 1} {
			if old == 0 || !ofInterest(old) {
				continue
			}
			p, err := tlog.ProveTree(size, old, m)
			need(err, "prove tree")
			fmt.Fprintf(out, "tree %d %d %s\n", old, size, join(p))
		}
	}
	need(out.Flush(), "write")
	need(f.Close(), "close")
}

// path of a tile as C2SP's tlog-tiles names it; x/mod puts the height in front and calls bundles data.
func path(t tlog.Tile) string { return "tile/" + strings.TrimPrefix(t.Path(), "tile/8/") }

func entries(site string) [][]byte {
	var all [][]byte
	for n := int64(0); ; n++ {
		name := filepath.Join(site, path(tlog.Tile{H: 8, L: -1, N: n, W: 256}))
		name = strings.Replace(name, "/tile/data/", "/tile/entries/", 1)
		data, err := os.ReadFile(name)
		if err != nil {
			matches, _ := filepath.Glob(name + ".p/*")
			if len(matches) != 1 {
				return all
			}
			data, err = os.ReadFile(matches[0])
			need(err, "bundle")
		}
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
	}
}

func tiles(site string, m memory, size int64) int {
	count := 0
	for _, t := range tlog.NewTiles(8, 0, size) {
		want, err := tlog.ReadTileData(t, m)
		need(err, "tile data")
		got, err := os.ReadFile(filepath.Join(site, path(t)))
		need(err, "our tile")
		if string(want) != string(got) {
			fail("%s differs", path(t))
		}
		count++
	}
	return count
}

func check(folder string) {
	site := filepath.Join(folder, "site")
	all := entries(site)
	if len(all) != last {
		fail("%d entries in the bundles", len(all))
	}
	var m memory
	for i, entry := range all {
		m.add(int64(i), entry)
	}
	f, err := os.Open(filepath.Join(folder, "ours.txt"))
	need(err, "open")
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	var verifiers note.Verifiers
	sizes, records, trees := 0, 0, 0
	for scanner.Scan() {
		word := strings.Split(scanner.Text(), " ")
		number := func(i int) int64 {
			n, err := strconv.ParseInt(word[i], 10, 64)
			need(err, "number")
			return n
		}
		switch word[0] {
		case "key":
			v, err := note.NewVerifier(word[1])
			need(err, "our vkey")
			verifiers = note.VerifierList(v)
		case "size":
			signed, err := base64.StdEncoding.DecodeString(word[2])
			need(err, "base64")
			n, err := note.Open(signed, verifiers)
			need(err, "our note")
			h := root(m, number(1))
			want := fmt.Sprintf("example.org/interop\n%s\n%s\n", word[1], base64.StdEncoding.EncodeToString(h[:]))
			if n.Text != want {
				fail("checkpoint of %s: %q", word[1], n.Text)
			}
			sizes++
		case "record":
			i, size := number(1), number(2)
			leaf := tlog.RecordHash(all[i])
			if split(word[3])[0] != leaf {
				fail("leaf %d", i)
			}
			need(tlog.CheckRecord(split(word[4]), size, root(m, size), i, leaf), "our inclusion proof")
			records++
		case "tree":
			old, size := number(1), number(2)
			need(tlog.CheckTree(split(word[3]), size, root(m, size), old, root(m, old)), "our consistency proof")
			trees++
		}
	}
	need(scanner.Err(), "ours.txt")
	fmt.Printf("%d checkpoints, %d inclusion and %d consistency proofs, %d tiles, %d entries\n", sizes, records, trees,
		tiles(site, m, last), len(all))
}

// fixed is a reader of fixed bytes: the key is for this test only, and the same each time.
func fixed() *strings.Reader { return strings.NewReader(strings.Repeat("pluralis", 16)) }

func main() {
	if len(os.Args) != 3 {
		fail("write FOLDER | check FOLDER")
	}
	if os.Args[1] == "write" {
		write(os.Args[2])
	} else {
		check(os.Args[2])
	}
}
