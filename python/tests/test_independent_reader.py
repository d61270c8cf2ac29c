"""Stores of every combination of features verify and read back with a reader written from `docs/format/` alone."""

import functools
import importlib.util
import itertools
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys

from blake3 import blake3
from conftest import new_repository

import OneNB

READER = pathlib.Path(__file__).parents[2] / "tests/independent_reader.py"
SPEC = importlib.util.spec_from_file_location("independent_reader", READER)
reader = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reader)

SEED = 20261121
KINDS = ("csv", "text", "parquet", "npy", "pickle", "arrow", "other")
LEVELS = (1, 3, 19)
# Lengths at which frames are full, and what the longest that joins chunks has here at least.
FRAME_LENS = {16 << 10: 12 << 10, 64 << 10: 48 << 10, 1 << 20: 128 << 10}
SHUFFLED = ("npy", "pickle", "arrow")
USUAL = (3, 1 << 20, True, True)
# Every form that our writer gives to frames of chunks. What leans on others is neither raw nor shuffled.
SHUFFLES, DELTAS = {f"zstd shuffle {size}" for size in (2, 4, 8)}, {f"zstd delta {depth}" for depth in (1, 2, 3, 4)}
FORMS = {"raw", "zstd"} | SHUFFLES | DELTAS


def seeded():
    print(f"seed {SEED}")
    return random.Random(SEED)


def settings(store, kinds, level, frame_len, shuffle, delta):
    """Writes the file that `onenb tune --apply` writes."""
    values = f"{level=}\n{frame_len=}\nshuffle = {str(shuffle).lower()}\ndelta = {str(delta).lower()}\n"
    (store / "encoding.toml").write_text("version = 1\n" + "".join(f"\n[{kind}]\n{values}" for kind in kinds))


def digest_of(content):
    return blake3(content).digest()


def edited(source, content, edits):
    """A later version: some bytes behind the first 64 are others."""
    content = bytearray(content)
    for _ in range(edits):
        content[source.randrange(64, len(content))] = source.randrange(97, 123)
    return bytes(content)


@functools.cache
def end_of_block():
    """64 bytes of text behind which the chunker cuts."""
    return next(end for end in (b"%064d" % number for number in itertools.count()) if reader.is_cut(end))


def blocks(source, count):
    """A text of which the chunker makes chunks of 16 KiB and 64 bytes each."""
    return [source.randbytes(8 << 10).hex().encode() + end_of_block() for _ in range(count)]


def contents_of(source):
    """Versions of contents of every kind, as (name, bytes), the kind being the start of the name."""
    rows = [f"{number},{source.randrange(10**9)},{source.random():.6f}\n".encode() for number in range(1200)]
    versions = {"csv": [b"".join(rows)]}
    versions["text"] = [b"".join(blocks(source, 12))]
    versions["parquet"] = [b"PAR1" + source.randbytes(60_000)]
    doubles = (source.gauss(0, 1) + number for number in range(8000))
    versions["npy"] = [b"\x93NUMPY\1\0" + struct.pack("<8000d", *doubles)]
    shorts = (number >> 10 << 8 | source.randrange(1 << 8) for number in range(24_000))
    versions["pickle"] = [b"\x80\5\x95" + bytes(61) + struct.pack("<24000h", *shorts)]
    counts = (number >> 10 << 16 | source.randrange(1 << 16) for number in range(16_000))
    versions["arrow"] = [b"ARROW1\0\0" + struct.pack("<16000I", *counts)]
    versions["other"] = [source.randbytes(150_000)]
    for kind, of in versions.items():
        for _ in range(5 if kind == "csv" else 1):
            of.append(edited(source, of[-1], 30))
    yield from ((kind, content) for kind, of in versions.items() for content in of)
    # A version that is like three frames.
    parts = blocks(source, 3)
    mixed = b"".join(part[at : at + 2048] for at in range(0, 16 << 10, 2048) for part in parts)
    yield from (("text-mixed", content) for content in (*itertools.accumulate(parts), mixed))


def folder_of(source, path):
    """A folder, and what is stored of it: its manifest and its files."""
    files = {"parts/a.csv": b"a,b\n1,2\n" * 300, "parts/empty": b"", "run.sh": source.randbytes(3000)}
    (path / "parts").mkdir(parents=True)
    (path / "none").mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    (path / "run.sh").chmod(0o755)
    (path / "latest").symlink_to("parts/a.csv")
    lines = {name: {"digest": blake3(of).hexdigest(), "size": len(of)} for name, of in files.items()}
    lines["run.sh"]["executable"] = True
    lines |= {"none": {"directory": True}, "latest": {"link": "parts/a.csv"}}
    lines = [{"format": 1, "kind": "directory"}, *({"path": name} | lines[name] for name in sorted(lines))]
    manifest = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return [manifest.encode(), *files.values()]


def check(repository, store, contents):
    """All is sound, and every content reads back byte for byte. Returns the store as the reader sees it, and counts."""
    repository.onenb("verify")
    read = reader.Store(store)
    found = reader.check_all(read)
    for content in contents:
        pieces = []
        read.write(digest_of(content), pieces.append)
        assert b"".join(pieces) == content
    return read, found


def forms(found):
    return {name.removeprefix("frames ") for name in found if name.startswith(("frames raw", "frames zstd"))}


def frames_of(read, content):
    """The frames that hold the chunks of a content."""
    return [read.chunks[part[0]][0][0] for part in read.recipe(digest_of(content)).parts]


def write(name, content):
    with OneNB.export(name).open(suffix=".bin", mode="b") as file:
        file.write(content)


def test_every_combination_of_settings_reads_back(tmp_path, monkeypatch):
    source = seeded()
    versions = list(contents_of(source))
    small = [source.randbytes(900).hex().encode() for _ in range(8)]
    lengths = [*map(source.randbytes, (0, 1, 1024, 1025)), bytes(600_000)]
    folder = folder_of(source, tmp_path / "folder")
    contents = {content for _, content in versions} | set(small + lengths + folder)
    template = new_repository(tmp_path / "my-repo", "local")

    def store_of(name, kinds, values):
        repository = type(template)(tmp_path / name)
        shutil.copytree(template.path, repository.path, symlinks=True)
        store = repository.path / ".git/onenb"
        settings(store, kinds, *values)
        monkeypatch.chdir(repository.path)
        for name, content in versions:
            write(name, content)
        with OneNB.batch():
            for number, content in enumerate(small + lengths):
                write(f"Small{number}", content)
        OneNB.export("Folder").write_directory(tmp_path / "folder")
        read, found = check(repository, store, contents)
        assert set(read.contents) == {digest_of(content) for content in contents}
        assert len({frame.position for content in small for frame in frames_of(read, content)}) == 1
        return read, found

    sizes = {}
    for values in itertools.product(LEVELS, FRAME_LENS, (True, False), (True, False)):
        level, frame_len, shuffle, delta = values
        read, found = store_of("-".join(map(str, values)), KINDS, values)
        assert forms(found) == {"raw", "zstd"} | (SHUFFLES if shuffle else set()) | (DELTAS if delta else set()), values
        assert (found["frames that lean on several"] > 0) == delta
        frames = [frame for pack in read.data for frame in pack.frames]
        joined = max(frame.raw_len for frame in frames if len(frame.keys) > 1)
        assert FRAME_LENS[frame_len] < joined <= frame_len, values
        sizes.setdefault(level, set()).add(frames_of(read, versions[0][1])[0].stored_len)
    # A frame that stands alone is as long as its level makes it, whatever else is set.
    assert [len(of) for of in sizes.values()] == [1, 1, 1] and min(sizes[19]) < min(sizes[3]) != min(sizes[1])

    # The settings of a kind are those of its contents and of no others: three stores tell all kinds apart.
    for bit in (1, 2, 4):
        kinds = [kind for number, kind in enumerate(KINDS, 1) if number & bit]
        read, _ = store_of(f"kinds{bit}", kinds, (19, 16 << 10, False, False))
        for kind in KINDS:
            frames = [frame for name, content in versions if name == kind for frame in frames_of(read, content)]
            assert any(frame.depth for frame in frames) == (kind not in kinds)
            assert any(frame.element for frame in frames) == (kind not in kinds and kind in SHUFFLED)


def test_a_store_that_went_through_everything_reads_back(pushing, remote, tmp_path):
    source = seeded()
    contents, working = set(), {}

    def export(where, name, content):
        (tmp_path / "content").write_bytes(content)
        where.onenb("export", name, str(tmp_path / "content"), "--suffix", ".bin")
        contents.add(content)
        working[name] = content

    store = pushing.path / ".git/onenb"
    newest = {}
    for kind, content in contents_of(source):
        newest[kind] = content
        export(pushing, kind, content)

    # Versions over versions, written with every change of settings in between.
    pairs = set()
    for values in [*itertools.product((1, 19), (16 << 10, 1 << 20), (True, False), (True, False)), USUAL]:
        settings(store, KINDS, *values)
        for kind in KINDS:
            newest[kind] = edited(source, newest[kind], 30)
            # What is new in each version stands alone where nothing may lean on others.
            newest[kind] += source.randbytes(4000).hex().encode() if kind == "text" else b""
            export(pushing, kind, newest[kind])
    (block,) = blocks(source, 1)
    for values, copies in (((3, 16 << 10, True, True), 0), (USUAL, 6)):
        settings(store, KINDS, *values)
        export(pushing, "copies", block + b"".join(edited(source, block, 9) for _ in range(copies)))
    read, found = check(pushing, store, contents)
    assert forms(found) == FORMS
    for frame in (frame for pack in read.data for frame in pack.frames):
        pairs |= {(frame.raw_len > 64 << 10, base.raw_len > 64 << 10) for base in read.frames_under(frame)}
    assert pairs == set(itertools.product((True, False), repeat=2))
    under = FORMS - {"zstd delta 4"} | {"several", "one by several spans"}
    assert [what for what in under if not found[f"frames that lean on {what}"]] == []

    # Whatever else a store may hold: sealed packs and their segments, a tree, a folder, a batch, all kinds of objects.
    settings(store, KINDS, 1, 16 << 10, True, True)
    export(pushing, "Tree", b"".join(blocks(source, 1100)))
    pushing.onenb("tune", "--undo")
    folder = folder_of(source, tmp_path / "folder")
    pushing.onenb("export", "Folder", str(tmp_path / "folder"))
    batch = [b"%d," % number * 400 for number in range(20)]
    for number, content in enumerate(batch):
        (tmp_path / f"small{number}").write_bytes(content)
    late = "".join(f"Small?number={number}\t{tmp_path}/small{number}\n" for number in range(len(batch)))
    (tmp_path / "late.tsv").write_text(late)
    pushing.onenb("export", "--batch", str(tmp_path / "late.tsv"), "--suffix", ".bin")
    pushing.commit("v1")
    first = {*working.values(), *folder, *batch, late.encode()}
    pushing.run("git", "switch", "-q", "-c", "side")
    export(pushing, "side", source.randbytes(2000))
    first.add(working.pop("side"))
    pushing.commit()
    pushing.onenb("bind", "HEAD", str(tmp_path / "late.tsv"), "--name", "Late")
    pushing.onenb("unbind", "HEAD", "copies")
    pushing.onenb("pin", "working:csv")
    pushing.run("git", "switch", "-q", "main")
    pushing.onenb("push", "--create", "v1")
    contents |= first
    _, found = check(pushing, store, contents)
    assert found["tree"] and found["sealed packs of data"] and found["segments of data"] and found["open packs"]
    assert found["objects raw"] and found["objects zstd"]
    assert [kind for kind in range(1, 10) if not found[f"objects of kind {kind}"]] == []

    # Collection copies frames as they are; here in a copy, because repacking is to find every version.
    copy = type(pushing)(tmp_path / "copy")
    shutil.copytree(pushing.path, copy.path, symlinks=True)
    copy.onenb("gc", "--prune", "now")
    read, found = check(copy, copy.path / ".git/onenb", first)
    assert set(read.contents) == set(map(digest_of, first)) and forms(found) & DELTAS

    pushing.onenb("repack")
    read, found = check(pushing, store, contents)
    assert all(pack.repacked for pack in read.data) and FORMS >= forms(found) >= {"raw", "zstd"} | DELTAS

    # Versions that lean on what was repacked; then what nothing names goes.
    for _ in range(2):
        export(pushing, "csv", edited(source, working["csv"], 30))
    read, found = check(pushing, store, contents)
    assert len({pack.repacked for pack in read.data}) == 2
    pushing.onenb("gc", "--prune", "now")
    kept = first | {working["csv"]}
    read, found = check(pushing, store, kept)
    assert set(read.contents) == set(map(digest_of, kept))

    # What is pushed stands alone, and so does what is pulled; what comes next leans on that.
    pushing.commit("v2")
    pushing.onenb("push", "v2")
    check(pushing, store, kept)
    packs = [reader.Pack(path, reader.DATA) for path in remote.glob("packs/*/*.pack")]
    sent = {frame.form for pack in packs for frame in pack.frames}
    assert {"raw", "zstd"} < sent <= FORMS - DELTAS
    clone = type(pushing)(tmp_path / "clone")
    pushing.run("git", "clone", "-q", str(pushing.path), str(clone.path))
    clone.onenb("init")
    clone.onenb("pull", "v2")
    store = clone.path / ".git/onenb"
    pulled = {*working.values(), *folder, *batch}
    read, found = check(clone, store, pulled)
    assert set(read.contents) == set(map(digest_of, pulled)) and not forms(found) & DELTAS
    for kind in KINDS:
        export(clone, kind, edited(source, working[kind], 30))
    contents = pulled | set(working.values())
    read, found = check(clone, store, contents)
    assert found["frames that lean on zstd"] > 0
    clone.onenb("repack", "--level", "19")
    check(clone, store, contents)


def test_sealed_metadata_and_its_segments_read_back(repository):
    source = seeded()
    contents = {source.randbytes(1024) for _ in range(5400)}
    with OneNB.batch():
        for number, content in enumerate(contents):
            with OneNB.export("Small", {"number": number}).open(suffix=".bin", mode="b") as file:
                file.write(content)
    _, found = check(repository, repository.path / ".git/onenb", contents)
    assert found["sealed packs of meta"] == found["segments of meta"] == 1 and found["inline"] == len(contents)


def test_the_independent_reader_sees_a_flipped_byte_and_passes_over_a_torn_tail(repository):
    source = seeded()
    store = repository.path / ".git/onenb"

    def run(*arguments):
        return subprocess.run([sys.executable, READER, store, *arguments], capture_output=True)

    settings(store, KINDS, 1, 16 << 10, True, True)
    content = b"".join(blocks(source, 1100))
    write("Tree", content)
    name = blake3(content).hexdigest()
    assert run().stdout.decode().split() == [name, str(len(content)), "tree"]
    assert run(name).stdout == content
    before = run("--all")
    assert before.returncode == 0 and b"sealed packs of data: 1" in before.stdout
    (pack,) = store.glob("packs/data/*.pack")
    sound = pack.read_bytes()
    position = source.randrange(len(sound))
    pack.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
    assert run("--all").returncode == 5, position
    pack.write_bytes(sound)
    # The pack of metadata is open: what lies in front of several markers is no torn tail.
    (pack,) = store.glob("packs/meta/*.open")
    write("More", b"more")
    sound = pack.read_bytes()
    before = run("--all")
    position = source.randrange(64, 128)
    pack.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
    assert run("--all").returncode == 5, position
    pack.write_bytes(sound)
    with open(next(store.glob("packs/data/*.open")), "ab") as file:
        file.write(b"1nbf\x01" + source.randbytes(300))
    assert run("--all").stdout == before.stdout
    assert run("00" * 32).returncode == 3
