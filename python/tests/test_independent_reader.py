"""A store written through the package reads back with a reader that was written from `docs/format/` alone."""

import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys

import pytest
from blake3 import blake3

import OneNB

READER = pathlib.Path(__file__).parents[2] / "tests/independent_reader.py"
SEED = 20261121


def reader(store, *arguments):
    return subprocess.run([sys.executable, READER, store, *arguments], capture_output=True)


def counts(store):
    """What the reader found when it checked everything."""
    done = reader(store, "--all")
    assert done.returncode == 0, done.stderr.decode()
    return {name: int(number) for name, number in (line.split(": ") for line in done.stdout.decode().splitlines())}


def tables(source, versions):
    """Versions of a table: scattered edits and an insert in each, and one that is sorted anew."""
    rows = [f"{number},{source.randrange(10**9)},{source.random():.6f}\n" for number in range(20_000)]
    for version in range(versions):
        for _ in range(200):
            rows[source.randrange(len(rows))] = f"{version},{source.randrange(10**9)},{source.random():.6f}\n"
        rows[1000 * version : 1000 * version] = [f"{version},new,{number}\n" for number in range(20)]
        if version == 4:
            rows.sort(key=lambda row: row.split(",")[1])
        yield "".join(rows).encode()


@pytest.fixture
def written(repository):
    """A store with every kind of recipe and frame, and what is in it by digest."""
    print(f"seed {SEED}")
    source = random.Random(SEED)
    contents = {}

    def export(name, content):
        with OneNB.export(name).open(suffix=".bin", mode="b") as file:
            file.write(content)
        contents[blake3(content).hexdigest()] = content

    versions = list(tables(source, 10))
    for version in versions[:7]:
        export("Table", version)
    for length in (0, 1, 1024, 1025):
        export(f"Length{length}", source.randbytes(length))
    export("Zeros", bytes(3 << 20))
    export("Array", struct.pack("<200000d", *(source.gauss(0, 1) + number for number in range(200_000))))
    export("Noise", source.randbytes(100 << 20))
    for version in versions[7:]:
        export("Table", version)
    return repository.path / ".git/onenb", contents


def test_everything_written_reads_back_with_the_independent_reader(written):
    store, contents = written
    found = counts(store)
    assert found["contents"] == len(contents)
    assert found["bytes"] == sum(map(len, contents.values()))
    # The store is worth the test only if it holds one of each.
    least = {"inline": 3, "flat": 10, "tree": 1, "sealed packs": 1}
    least |= {"raw frames": 50, "delta frames": 8, "deepest": 2, "shuffled frames": 1}
    assert {name: found[name] for name, number in least.items() if found[name] < number} == {}
    assert found["open packs"] >= 2 and found["segments"] >= 1

    listed = [line.split() for line in reader(store).stdout.decode().splitlines()]
    assert {digest: int(length) for digest, length, _ in listed} == {key: len(value) for key, value in contents.items()}
    for digest, content in contents.items():
        assert reader(store, digest).stdout == content


def test_a_repacked_store_reads_back_with_the_independent_reader(written, repository):
    store, contents = written
    before = counts(store)
    # This process keeps the packs that it wrote to; a clone of the store has no such owner.
    copy = repository.path / "copy"
    repository.run("git", "init", "--quiet", str(copy))
    repository.run("git", "-C", str(copy), "config", "onenb.store", str(copy / "store"))
    shutil.copytree(store, copy / "store")
    repository.onenb("-C", str(copy), "init", "--name", "copy", "local")
    done = json.loads(repository.onenb("-C", str(copy), "repack", "--json"))
    assert done["packs"] > 0 and done["contents"] == len(contents)
    found = counts(copy / "store")
    assert [found[name] for name in ("contents", "bytes")] == [before[name] for name in ("contents", "bytes")]
    assert found["delta frames"] > 0 and found["shuffled frames"] > 0
    for digest, content in contents.items():
        assert reader(copy / "store", digest).stdout == content


def test_the_independent_reader_sees_a_flipped_byte_and_passes_over_a_torn_tail(written):
    store, _ = written
    source = random.Random(SEED)
    for pack in sorted(store.glob("packs/*/*.pack"))[:1]:
        position = source.randrange(pack.stat().st_size)
        with open(pack, "r+b") as file:
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 1]))
            file.flush()
            broken = reader(store, "--all")
            assert broken.returncode == 5, position
            file.seek(position)
            file.write(bytes([byte]))
    before = counts(store)
    with open(next(store.glob("packs/data/*.open")), "ab") as file:
        file.write(b"1nbf\x01" + source.randbytes(300))
    assert counts(store) == before
    assert reader(store, "00" * 32).returncode == 3
