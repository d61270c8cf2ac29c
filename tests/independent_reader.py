#!/usr/bin/env python3
"""Reads a onenb store without onenb.

    python independent_reader.py STORE_DIR           lists what the store holds: digest, length, kind of recipe
    python independent_reader.py STORE_DIR DIGEST    writes one content to stdout
    python independent_reader.py STORE_DIR --all     decodes everything, checks everything, says what it found

STORE_DIR is the store's directory, usually `.git/onenb`. Written from `docs/format/` alone, so that the pages are known
to suffice: it shares no line and no idea with the program. It prefers being short to being fast. Needs `blake3` and
`zstandard`. Exits with 0 if all is well, 5 if something is damaged, 3 if the digest is unknown, 2 for wrong usage.
"""

import argparse
import collections
import functools
import json
import os
import pathlib
import struct
import sys

import zstandard
from blake3 import blake3

RAW, ZSTD = 0, 1
NO_FILTER, SHUFFLE = 0, 1
CHUNKS, OBJECT, MARKER = 1, 2, 3
DATA, META = 1, 2
INLINE, FLAT, TREE, NODE = 1, 2, 3, 4
RECIPE_NAMES = {INLINE: "inline", FLAT: "flat", TREE: "tree", NODE: "node"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# What the objects are that are JSON.
FACTS = dict(enumerate("pending late-binding unbinding push branch-start commit-branch pin".split(), 3))
MIN_CHUNK, MAX_CHUNK = 16 << 10, 256 << 10
CUT, LONGEST, END = 1, 2, 3
GEAR = struct.unpack("<256Q", blake3(b"onenb gear v1").digest(2048))
MAX_DEPTH = 4
CACHED_FRAMES = 64


class Damaged(Exception):
    """Bytes that are not what the format says."""


def must(holds, what):
    if not holds:
        raise Damaged(what)


def checksum(data):
    return blake3(data).digest()[:16]


def derived(context, data):
    return blake3(data, derive_key_context=context).digest()


def unshuffle(data, size):
    """Puts elements together again that are stored lane by lane."""
    count = len(data) // size
    plain = bytearray(data)
    for lane in range(size):
        plain[lane : count * size : size] = data[lane * count : (lane + 1) * count]
    return bytes(plain)


def is_cut(data):
    """Whether the chunker finds a cut behind these bytes; 64 of them decide."""
    state = 0
    for byte in data[-64:]:
        state = (state << 1) + GEAR[byte] & (1 << 64) - 1
    return state >> 48 == 0


def ulid_text(data):
    number = int.from_bytes(data, "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def take(data, start, length, what):
    """A slice that is there as a whole, or damage."""
    piece = data[start : start + length]
    must(len(piece) == length, f"{what} is cut off")
    return piece


class Frame:
    """The header and the tables of a frame. `end_of_tables` is where its payload starts, counted from the header."""

    def __init__(self, pack, position, data, start):
        header = take(data, start, 64, "a frame's header")
        magic, self.kind, self.codec, self.filter, self.element = struct.unpack_from("<4sBBBB", header)
        self.dictionary, self.depth, self.object_kind, zero = struct.unpack_from("<IBBH", header, 8)
        key_count, base_count, self.raw_len, self.stored_len = struct.unpack_from("<IIII", header, 16)
        must(magic == b"1nbf", "no frame starts here")
        must(key_count <= 16384 and base_count <= 1024, "a frame's tables are too long")
        tables = take(data, start + 64, 36 * key_count + 40 * base_count, "a frame's tables")
        must(checksum(header[:48] + tables) == header[48:], "a frame's header has another checksum")
        self.pack, self.position, self.payload_checksum = pack, position, header[32:48]
        self.keys = list(struct.iter_unpack("<32sI", tables[: 36 * key_count]))
        self.bases = list(struct.iter_unpack("<32sII", tables[36 * key_count :]))
        self.end_of_tables = 64 + len(tables)
        self.header_and_tables = header + tables
        must(zero == 0, "bytes that are always zero are not")
        self._check_kind()
        self._check_codec()

    def _check_kind(self):
        lengths = [length for _, length in self.keys]
        if self.kind == CHUNKS:
            must(self.pack.kind == DATA and self.object_kind == 0, "chunks where none belong")
            must(0 < self.raw_len <= 2 << 20 and sum(lengths) == self.raw_len, "lengths of chunks do not add up")
            must(all(0 < length <= 1 << 20 for length in lengths), "a chunk's length is out of bounds")
        elif self.kind == OBJECT:
            must(self.pack.kind == META and 1 <= self.object_kind <= 9, "an object where none belongs")
            must(self.raw_len <= 16 << 20, "an object is too long")
            must(lengths == [self.raw_len] + [0] * (len(lengths) - 1) and lengths, "an object's keys are wrong")
        elif self.kind == MARKER:
            must(not self.keys and self.codec == RAW and self.raw_len == 16, "a marker is malformed")
        else:
            raise Damaged(f"no frame has the kind {self.kind}")

    def _check_codec(self):
        must(self.codec in (RAW, ZSTD), f"no codec has the number {self.codec}")
        must(self.filter in (NO_FILTER, SHUFFLE) and self.dictionary == 0, "an unknown filter or dictionary")
        must((self.element > 0) == (self.filter == SHUFFLE), "filter and element size disagree")
        fits = self.stored_len == self.raw_len if self.codec == RAW else self.stored_len < self.raw_len
        must(fits, "a payload's length does not suit its codec")
        must(self.depth <= MAX_DEPTH, "a delta is too deep")
        must((self.depth > 0) == bool(self.bases), "base spans and depth disagree")
        if self.bases:
            must(self.kind == CHUNKS and self.codec == ZSTD, "a delta must be of chunks and zstd")
            must(self.pack.version >= 2, "a delta in a pack of version 1")
            must(sum(length for _, _, length in self.bases) <= 4 << 20, "base spans are too long")

    @property
    def length(self):
        return self.end_of_tables + self.stored_len

    @property
    def form(self):
        """How the payload is encoded, in words."""
        words = ["zstd" if self.codec == ZSTD else "raw"]
        words += [f"shuffle {self.element}"] if self.filter == SHUFFLE else []
        words += [f"delta {self.depth}"] if self.depth else []
        return " ".join(words)

    def payload(self):
        """The stored bytes, checked."""
        with open(self.pack.path, "rb") as file:
            file.seek(self.position + self.end_of_tables)
            stored = file.read(self.stored_len)
        must(len(stored) == self.stored_len, "a payload is cut off")
        must(checksum(stored) == self.payload_checksum, "a payload has another checksum")
        return stored


class Pack:
    """One pack: its frames without the markers, up to its footer or, while it is open, up to its last marker."""

    def __init__(self, path, kind):
        self.path, self.kind = path, kind
        self.sealed = path.suffix == ".pack"
        data = path.read_bytes()
        self._read_header(data)
        if self.sealed:
            self._read_sealed(data)
        else:
            self._read_open(data)

    def _read_header(self, data):
        header = take(data, 0, 64, "a pack's header")
        magic, self.version, kind, zero, required, optional, ulid = struct.unpack_from("<8sIB3sQQ16s", header)
        must(magic == b"1nbpack\n", "not a pack")
        must(checksum(header[:48]) == header[48:], "a pack's header has another checksum")
        must(self.version in (1, 2), f"packs of version {self.version} are newer than this reader")
        must(required == 0, "the pack needs features that this reader does not know")
        self.repacked, level, rest = optional & 1, optional >> 8 & 255, optional & ~0xFF01
        must(rest == 0 and (1 <= level <= 19 if self.repacked else level == 0), "the pack's mark is wrong")
        must(kind == self.kind and zero == b"\0\0\0", "a pack of another class")
        must(ulid_text(ulid) == self.path.stem, "a pack under another name")

    def _walk(self, data, end):
        """All frames from the header on, markers included, until something is not a frame."""
        position = 64
        while position < end:
            frame = Frame(self, position, data, position)
            must(position + frame.length <= end, "a frame is cut off")
            yield frame
            position += frame.length

    def _is_marker(self, frame, number, data):
        start = frame.position + frame.end_of_tables
        return (
            frame.kind == MARKER
            and checksum(data[start : start + 16]) == frame.payload_checksum
            and struct.unpack_from("<QQ", data, start) == (number, frame.position)
        )

    def _read_sealed(self, data):
        trailer = take(data, len(data) - 88, 88, "a trailer") if len(data) >= 152 else b""
        must(trailer[80:] == b"1nbseal\n" and checksum(trailer[:64]) == trailer[64:80], "no trailer at the end")
        position, length = struct.unpack_from("<QQ", trailer)
        must(length <= 64 << 20 and position + length == len(data) - 88, "the directory is not where the trailer says")
        directory = take(data, position, length, "a directory")
        must(checksum(directory) == trailer[48:64], "the directory has another checksum")
        must(blake3(data[:position]).digest() == trailer[16:48], "the pack has another checksum")
        walked = list(self._walk(data, position))
        markers = [frame for frame in walked if frame.kind == MARKER]
        for number, frame in enumerate(markers, 1):
            must(self._is_marker(frame, number, data), "a marker is wrong")
        # Those of a remote have no markers at all, which the pages do not say.
        must(not markers or walked[-1] is markers[-1], "no marker before the directory")
        self.markers, self.frames = len(markers), [frame for frame in walked if frame.kind != MARKER]
        listed = b"".join(struct.pack("<Q", frame.position) + frame.header_and_tables for frame in self.frames)
        must(directory == struct.pack("<4sI", b"1nbd", len(self.frames)) + listed, "directory and body disagree")

    def _read_open(self, data):
        self.frames, self.markers, waiting, end = [], 0, [], 64
        try:
            for frame in self._walk(data, len(data)):
                if frame.kind != MARKER:
                    waiting.append(frame)
                elif self._is_marker(frame, self.markers + 1, data):
                    self.markers += 1
                    self.frames += waiting
                    waiting, end = [], frame.position + frame.length
                else:
                    break
        except Damaged:
            pass  # Behind the last marker anything may lie: a write under way, or one that a power cut tore.
        self._check_tail(data, end)

    def _check_tail(self, data, end):
        """A crash leaves at most one marker behind what it tore; another one means that bytes were lost since."""
        position = data.find(b"1nbf", end)
        while position >= 0:
            try:
                frame = Frame(self, position, data, position)
                start = position + frame.end_of_tables
                number = struct.unpack_from("<Q", data, start)[0] if frame.kind == MARKER else 0
                lost = number > self.markers + 1 and self._is_marker(frame, number, data)
            except (Damaged, struct.error):
                lost = False
            must(not lost, "a gap in front of a marker")
            position = data.find(b"1nbf", position + 4)


class Recipe:
    """A recipe or a node, decoded."""

    def __init__(self, data):
        must(len(data) <= 16 << 20, "a recipe is too long")
        header = take(data, 0, 16, "a recipe")
        magic, version, self.kind, self.chunker, zero, self.length = struct.unpack("<4sBBBBQ", header)
        must(magic == b"1nbr" and version == 1 and zero == 0, "not a recipe of version 1")
        must(self.kind in RECIPE_NAMES, f"no recipe has the kind {self.kind}")
        must(self.chunker == (0 if self.kind == INLINE else 1), "a recipe of another chunker")
        self.digest = None if self.kind == NODE else take(data, 16, 32, "a recipe")
        self.parts, self.inline = [], None
        body = data[16 if self.kind == NODE else 48 :]
        if self.kind == INLINE:
            must(len(body) == self.length <= 1024, "an inline recipe has another length")
            self.inline = body
        elif self.kind == TREE:
            self._read_parts(body, "<32sQI", 1)
        else:
            self._read_parts(body, "<32sIB", 1)
            must(self.kind == NODE or len(self.parts) <= 1000, "a flat recipe has too many chunks")
            must(all(0 < part[1] <= 1 << 20 and 1 <= part[2] <= 3 for part in self.parts), "a chunk's entry is wrong")

    def _read_parts(self, body, layout, least):
        (count,) = struct.unpack("<I", take(body, 0, 4, "a recipe"))
        size = struct.calcsize(layout)
        must(count >= least and len(body) == 4 + count * size, "a recipe has another number of entries")
        self.parts = list(struct.iter_unpack(layout, body[4:]))
        must(sum(part[1] for part in self.parts) == self.length, "lengths in a recipe do not add up")


class Store:
    """All packs of a store, what they hold by identity, and a few decoded frames."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        lines = (self.directory / "format").read_text("ascii").split("\n")
        must(lines[:1] == ["onenb store 1"] and lines[3:] == [""], "not a store of version 1")
        must(lines[1] == "min_reader 1", "the store needs a newer reader")
        self.data, self.meta = self._packs("data", DATA), self._packs("meta", META)
        self.chunks, self.objects, self.contents = {}, {}, {}
        for frame in (frame for pack in self.data for frame in pack.frames):
            start = 0
            for key, length in frame.keys:
                self.chunks.setdefault(key, []).append((frame, start, length))
                start += length
        for frame in (frame for pack in self.meta for frame in pack.frames):
            self.objects.setdefault(frame.keys[0][0], []).append(frame)
            for alias, _ in frame.keys[1:]:
                must(frame.object_kind == 1, "only recipes have aliases")
                self.contents.setdefault(alias, []).append(frame)
        self._decode = functools.lru_cache(CACHED_FRAMES)(self._decode_uncached)

    def _packs(self, folder, kind):
        packs = []
        for path in sorted((self.directory / "packs" / folder).iterdir()):
            if path.suffix in (".pack", ".open"):
                try:
                    packs.append(Pack(path, kind))
                    must(packs[-1].markers or not packs[-1].frames, "a sealed pack without a marker")
                except Damaged as error:
                    raise Damaged(f"{path}: {error}") from None
        return packs

    def decode(self, frame):
        """The plain bytes of a frame."""
        try:
            return self._decode(frame)
        except Damaged as error:
            raise Damaged(f"{frame.pack.path} at {frame.position}: {error}") from None

    def _decode_uncached(self, frame):
        stored = frame.payload()
        plain = stored if frame.codec == RAW else self._decompress(frame, stored)
        return unshuffle(plain, frame.element) if frame.filter == SHUFFLE else plain

    def _decompress(self, frame, stored):
        prefix = b"".join(self.span(base, frame.depth) for base in frame.bases)
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        try:
            plain = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(
                stored, max_output_size=frame.raw_len, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise Damaged(f"a payload does not decompress: {error}") from None
        must(len(plain) == frame.raw_len, "a payload decompresses to another length")
        return plain

    def span(self, base, depth):
        """The bytes of a base span, out of a frame of smaller depth."""
        key, offset, length = base
        must(length > 0, "an empty base span")
        plain = self.chunk(key, depth)
        must(offset + length <= len(plain), "a base span is longer than its chunk")
        return plain[offset : offset + length]

    def frames_under(self, frame):
        """The frames that one leans on; where a chunk lies in several, the shallowest."""
        under = []
        for key, _, _ in frame.bases:
            places = [place[0] for place in self.chunks.get(key, []) if place[0].depth < frame.depth]
            must(places, f"{frame.pack.path} at {frame.position}: no shallower frame holds its base")
            first = min(places, key=lambda place: place.depth)
            under += [] if first in under else [first]
        return under

    def chunk(self, key, below=MAX_DEPTH + 1):
        """A chunk's bytes, verified, out of the shallowest sound frame that holds them."""
        places = [place for place in self.chunks.get(key, []) if place[0].depth < below]
        damage = Damaged(f"chunk {key.hex()} is in no pack")
        for frame, start, length in sorted(places, key=lambda place: place[0].depth):
            try:
                plain = self.decode(frame)[start : start + length]
                must(derived("onenb chunk v1", plain) == key, f"chunk {key.hex()} holds other bytes")
                return plain
            except Damaged as error:
                damage = error
        raise damage

    def object(self, frame):
        """An object's bytes, verified against its identity."""
        plain = self.decode(frame)
        if frame.object_kind in (1, 2):
            identity = derived("onenb recipe v1", plain)
        else:
            identity = derived("onenb object v1", bytes([frame.object_kind]) + plain)
            must(json.loads(plain)["kind"] == FACTS[frame.object_kind], "an object of another kind than it says")
        must(identity == frame.keys[0][0], f"{frame.pack.path} at {frame.position}: an object under another identity")
        return plain

    def recipe(self, digest):
        """The recipe of a content."""
        recipe = Recipe(self.object(self.contents[digest][0]))
        must(recipe.digest == digest, f"the recipe of {digest.hex()} is of something else")
        return recipe

    def node(self, part):
        """A node of a tree, as its tree describes it."""
        identity, length, count = part
        must(identity in self.objects, f"node {identity.hex()} is in no pack")
        node = Recipe(self.object(self.objects[identity][0]))
        must((node.kind, node.length, len(node.parts)) == (NODE, length, count), "a node is not what its tree says")
        check_node_cuts(node)
        return node

    def pieces(self, recipe):
        """A content's bytes, piece by piece."""
        if recipe.kind == INLINE:
            yield recipe.inline
        for part in recipe.parts:
            if recipe.kind == TREE:
                yield from self.pieces(self.node(part))
            else:
                plain = self.chunk(part[0])
                must(len(plain) == part[1], f"chunk {part[0].hex()} has another length")
                yield plain

    def write(self, digest, sink):
        """Writes a content and checks it as a whole."""
        recipe, hasher, length = self.recipe(digest), blake3(), 0
        for piece in self.pieces(recipe):
            hasher.update(piece)
            length += len(piece)
            sink(piece)
        must(length == recipe.length and hasher.digest() == digest, f"content {digest.hex()} reads as something else")


def check_node_cuts(node):
    """A node ends at the first chunk that may end it; the last node of a tree may end anywhere."""
    must(len(node.parts) <= 2048, "a node is too long")
    for number, (key, _, _) in enumerate(node.parts[:-1], 1):
        ends = number >= 128 and int.from_bytes(key[:4], "little") & 0x1FF == 0
        must(not ends, "a node goes on behind its end")


class Segment:
    """An index segment; derived, so what it says is checked against the packs that still exist."""

    def __init__(self, path, kind):
        data = path.read_bytes()
        header = take(data, 0, 48, "a segment")
        magic, version, of, zero, packs, bits, entries, rest = struct.unpack("<8sIB3sIII20s", header)
        must(magic == b"1nbindx\n" and version == 1 and of == kind, "not a segment of version 1")
        must(zero + rest == bytes(23) and bits <= 24, "a segment's header is wrong")
        end_of_packs = 64 + 16 * packs
        end_of_buckets = end_of_packs + (8 << bits)
        must(len(data) == end_of_buckets + 16 * entries, "a segment has another length")
        must(checksum(data[:48] + data[64:end_of_buckets]) == data[48:64], "a segment has another checksum")
        self.packs = [ulid_text(data[at : at + 16]) for at in range(64, end_of_packs, 16)]
        self.entries = [
            (*struct.unpack_from(">Q", data, at), *struct.unpack_from("<II", data, at + 8))
            for at in range(end_of_buckets, len(data), 16)
        ]
        keys = [entry[0] for entry in self.entries]
        must(keys == sorted(keys), "entries are not sorted")
        before = 0
        for bucket in range(1 << bits):
            end, sum4 = struct.unpack_from("<I4s", data, end_of_packs + 8 * bucket)
            must(before <= end <= entries, "a bucket ends before it starts")
            inside = data[end_of_buckets + 16 * before : end_of_buckets + 16 * end]
            must(blake3(inside).digest()[:4] == sum4, "a bucket has another checksum")
            must(all(key >> (64 - bits) == bucket for key in keys[before:end]), "an entry is in a wrong bucket")
            before = end
        must(before == entries, "entries behind the last bucket")

    def check(self, packs):
        """Every key of a sealed pack that the segment covers is found at its place."""
        by_name = {pack.path.stem: pack for pack in packs if pack.sealed}
        said = {(key, self.packs[pack], position) for key, pack, position in self.entries}
        for pack in (by_name[name] for name in self.packs if name in by_name):
            for frame in pack.frames:
                for key, _ in frame.keys:
                    place = (int.from_bytes(key[:8], "big"), pack.path.stem, frame.position)
                    must(place in said, f"{pack.path}: a key is missing in its segment")


def check_cuts(store, recipe):
    """Every chunk ends where its recipe says that the chunker ended it."""
    nodes = [store.node(part) for part in recipe.parts] if recipe.kind == TREE else [recipe]
    parts = [part for node in nodes for part in node.parts]
    for number, (key, length, why) in enumerate(parts, 1):
        must(why != END or number == len(parts), "the content goes on behind its last chunk")
        must(why != LONGEST or length == MAX_CHUNK, "a chunk is shorter than the longest")
        must(why != CUT or length >= MIN_CHUNK and is_cut(store.chunk(key)), "a chunk ends where there is no cut")


def check_depth(store, frame, under):
    """Decoding takes as many other frames as the depth says, if each base is in one frame alone."""
    if all(len(store.chunks[key]) == 1 for key, _, _ in frame.bases):
        needed = sum(1 + base.depth for base in under)
        must(needed == frame.depth, f"{frame.pack.path} at {frame.position}: depth {frame.depth} but {needed} frames")


def check_all(store):
    """Decodes and verifies everything, in use or not, and counts what there is."""
    data = [frame for pack in store.data for frame in pack.frames]
    objects = [frame for pack in store.meta for frame in pack.frames]
    packs = store.data + store.meta
    found = collections.Counter(contents=len(store.contents), chunks=len(store.chunks), frames=len(data))
    for frame in objects:
        store.object(frame)
        found.update([f"objects {frame.form}", f"objects of kind {frame.object_kind}"])
    for key, places in store.chunks.items():
        for frame, start, length in places:
            plain = store.decode(frame)[start : start + length]
            must(derived("onenb chunk v1", plain) == key, f"chunk {key.hex()} holds other bytes")
    for frame in data:
        under = store.frames_under(frame)
        check_depth(store, frame, under)
        found.update([f"frames {frame.form}", *{f"frames that lean on {base.form}" for base in under}])
        found["frames that lean on several"] += len(under) > 1
        found["frames that lean on one by several spans"] += len(frame.bases) > len(under) == 1
    for digest in sorted(store.contents):
        recipe = store.recipe(digest)
        store.write(digest, lambda _: None)
        check_cuts(store, recipe)
        found["bytes"] += recipe.length
        found[RECIPE_NAMES[recipe.kind]] += 1
    for folder, kind, of in (("data", DATA, store.data), ("meta", META, store.meta)):
        directory = store.directory / "index" / folder
        for path in sorted(directory.glob("*.seg")) if directory.is_dir() else []:
            Segment(path, kind).check(of)
            found[f"segments of {folder}"] += 1
        found[f"sealed packs of {folder}"] += sum(pack.sealed for pack in of)
    found["open packs"] = sum(not pack.sealed for pack in packs)
    found["repacked packs"] = sum(pack.repacked for pack in packs)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", metavar="STORE_DIR")
    parser.add_argument("digest", metavar="DIGEST", nargs="?")
    parser.add_argument("--all", action="store_true", help="decode and check everything")
    arguments = parser.parse_args()
    if arguments.digest and arguments.all:
        parser.error("give DIGEST or --all")
    try:
        store = Store(arguments.store)
        if arguments.all:
            for what, number in sorted(check_all(store).items()):
                print(f"{what}: {number}")
        elif arguments.digest:
            digest = bytes.fromhex(arguments.digest)
            if digest not in store.contents:
                print(f"error: no content {arguments.digest} in {arguments.store}", file=sys.stderr)
                return 3
            store.write(digest, sys.stdout.buffer.write)
        else:
            for digest in sorted(store.contents):
                recipe = store.recipe(digest)
                print(digest.hex(), recipe.length, RECIPE_NAMES[recipe.kind])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Damaged, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
