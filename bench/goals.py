#!/usr/bin/env python3
"""Measures the goals that need no peer to compare with.

    .venv/bin/python bench/goals.py ONENB [--only PART ..] [--rounds N] [--exports N] [--megabytes N] [--json FILE]

Medians of the rounds; what takes milliseconds is done twenty times a round. What is compared is done in turn, and
ratios are taken within a pair. Programs run as in `scaling.py`, each a process of its own, in one repository; what is
measured from an empty store gets a new one each round. `--megabytes` is the length of the table that is exported again;
the others follow from it: noise has half of it, the table that is ingested and restored 0.4, the one that pandas reads
0.2. Prints Markdown. ONENB is the program; what is measured inside of Python is the package of the interpreter that
runs this, so build both from the same sources. Set TMPDIR to choose the disk.

What the machine could do with two threads is worked out from times of one, measured in each round over the same bytes,
the least of three tries: whoever touches memory first, or writes the first file, pays several times over.

    restore to a file = (zstd decode of frames of 1 MiB, level 3, + blake3) / 2 + write of a file
    restore to nothing = (zstd decode + blake3) / 2
    first ingest = (cutting at 1.7 GB/s, which is taken as given, + blake3 + zstd 1) / 2
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import blake3
import zstandard

from corpora import HEADER, SEED, small_text, table_row
from report import row, verdict
from run import bytes_below, machine
from scaling import Lab
from tools import Onenb

OFTEN = 20
FRAME, CHUNK = 1 << 20, 1 << 16
CUTTING = 1.7e9
FILE_SYSTEM = "create, write 1 KB, fsync, rename, fsync of the directory"


def seconds_of(call, *inputs):
    start = time.perf_counter()
    call(*inputs)
    return time.perf_counter() - start


def least_of(call, *inputs):
    return min(seconds_of(call, *inputs) for _ in range(3))


def write_durably(path, text):
    """What a file system needs to keep 1 KB for good."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(file.name, path)
    entry = os.open(path.parent, os.O_RDONLY)
    os.fsync(entry)
    os.close(entry)


def kilobyte(number):
    return f"{number}," + random.Random(number).randbytes(510).hex()


# In processes of their own, whose working directory is the repository: they leave what they found in a file.


def export_alive(count):
    import OneNB

    def export(name, text):
        with OneNB.export(name).open(suffix=".csv") as file:
            file.write(text)

    export("First", kilobyte(count))
    pairs = []
    for number in range(count):
        text = kilobyte(number)
        pairs.append((seconds_of(write_durably, pathlib.Path(f"plain{number}"), text),
                      seconds_of(export, f"Alive{number}", text)))
    leave(pairs)


def read_frame(path=None):
    import pandas

    import OneNB

    start = time.perf_counter()
    pandas.read_csv(path or OneNB.working_export("Frame").reader())
    leave(time.perf_counter() - start)


def leave(found):
    pathlib.Path("found").write_text(json.dumps(found))


class Bench:
    """What all parts share: data, a repository, and the rows of the report."""

    def __init__(self, options, folder):
        self.onenb, self.folder = str(pathlib.Path(options.onenb).resolve()), folder
        self.rounds, self.often = options.rounds, options.rounds * OFTEN
        self.exports, self.megabytes = options.exports, options.megabytes
        self.figures = []

    @contextlib.contextmanager
    def lab(self):
        """A repository of its own, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            lab = Lab(self.onenb, folder)
            lab.env["PYTHONPATH"] = str(pathlib.Path(__file__).resolve().parent)
            os.sync()
            yield lab
            lab.runner.stdin.close()
            lab.runner.wait()

    def python(self, call):
        """Runs a function of this file in a process of its own, in the shared repository; returns what it left."""
        self.shared.run(sys.executable, "-c", f"import goals; goals.{call}")
        return json.loads((self.shared.folder / "found").read_text())

    def row(self, what, values, unit, bound, goal, besides=""):
        """A line of the report; the bound is `>=` or `<=`."""
        value = statistics.median(values)
        reached = value / goal if bound == ">=" else goal / value
        self.figures.append({"what": what, "values": values, "unit": unit, "bound": bound, "goal": goal})
        number = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        print(row([what, f"{number} {unit}", f"{bound} {goal:,g}", verdict(reached, 1), besides]), flush=True)

    def table(self, share):
        """The file that holds so much of the table, on disk and in the page cache."""
        whole, part = self.folder / "table.csv", self.folder / f"table{share}.csv"
        if not whole.exists():
            source = random.Random(f"{SEED} goals")
            with open(whole, "w") as file:
                file.write(",".join(HEADER) + "\n")
                number = 0
                while file.tell() < self.megabytes * 1e6:
                    block = (",".join(table_row(source, number + one)) for one in range(10_000))
                    file.write("\n".join(block) + "\n")
                    number += 10_000
        if not part.exists():
            content = whole.read_bytes()[: int(share * self.megabytes * 1e6)]
            part.write_bytes(content[: content.rindex(b"\n") + 1])
        return part


def median(values, unit="s"):
    return f"{statistics.median(values) * {'s': 1, 'ms': 1e3}[unit]:.2f} {unit}"


def megabytes_a_second(data, times):
    return f"{len(data) / statistics.median(times) / 1e6:,.0f} MB/s"


def start(bench):
    pairs = [(bench.shared.run(bench.onenb, "--version")[0], bench.shared.run("/bin/true")[0])
             for _ in range(bench.often)]
    ours, nothing = zip(*pairs)
    besides = f"`/bin/true`: {median(nothing, 'ms')}"
    bench.row("start of the program", [one * 1e3 for one in ours], "ms", "<=", 5, besides)


def small(bench):
    """One small export, as a process and in a live one."""
    lab, processes = bench.shared, []
    for number in range(bench.often):
        text = kilobyte(number)
        (lab.folder / "one.csv").write_text(text)
        processes.append((seconds_of(write_durably, lab.folder / f"plain{number}", text),
                          lab.run(bench.onenb, "export", "-q", f"One{number}", "one.csv")[0]))
    alive = bench.python(f"export_alive({bench.often})")
    for where, pairs in (("a process", processes), ("in a live Python", alive)):
        plain, ours = zip(*pairs)
        bench.row(f"one small export, {where}, over {FILE_SYSTEM}", [our / one for one, our in pairs], "×", "<=", 3,
                  f"{median(ours, 'ms')} over {median(plain, 'ms')}")


def look_up(bench):
    lab, chosen = bench.shared, ("-p", "year=2023", "-p", "kind=net")
    (lab.folder / "one.csv").write_text(kilobyte(-1))
    lab.run(bench.onenb, "export", "-q", "Report", "one.csv", *chosen)
    lab.commit("v1")
    lab.run(bench.onenb, "resolve", "v1:Report", *chosen)
    times = [lab.run(bench.onenb, "resolve", "v1:Report", *chosen)[0] * 1e3 for _ in range(bench.often)]
    bench.row("look-up by tag, name and parameters, a process", times, "ms", "<=", 10)


def batch(bench):
    """Many small exports, until the journal of their batch has its name and until the command ends."""
    source, lines, size = random.Random(f"{SEED} batch"), [], 0
    for number in range(bench.exports):
        path = bench.folder / "texts" / f"part{number:05}.csv"
        path.parent.mkdir(exist_ok=True)
        size += path.write_bytes(small_text(source))
        lines.append(f"P{number:05}\t{path}\n")
    until, all_done, cpu, stored = [], [], [], []
    for _ in range(bench.rounds):
        with bench.lab() as lab:
            (lab.folder / "list").write_text("".join(lines))
            found, over = [], threading.Event()
            journals = lab.folder / ".git" / "onenb" / "batches"
            watcher = threading.Thread(target=watch, args=(journals, found, over))
            watcher.start()
            begun = time.perf_counter()
            wall, used, _ = lab.run(bench.onenb, "export", "-q", "--batch", "list")
            over.set()
            watcher.join()
            # A batch so short that its journal came and went between two looks counts to its end.
            until.append(found[0] - begun if found else wall)
            all_done.append(wall)
            cpu.append(used)
            stored.append(sum(bytes_below(lab.folder / store) for store in Onenb.stores))
    rate = bench.exports / statistics.median(all_done)
    besides = (f"durable after {median(until)}, all done after {median(all_done)}, {rate:,.0f}/s; CPU {median(cpu)}; "
               f"{statistics.median(stored) / 1e6:.1f} MB stored of {size / 1e6:.1f}")
    bench.row(f"{bench.exports:,} small exports in one batch, until durable", [bench.exports / one for one in until],
              "/s", ">=", 20_000, besides)


def watch(folder, found, over):
    """Notes when the first file gets its final name."""
    while not found and not over.is_set():
        if any(folder.glob("[!.]*.json")):
            found.append(time.perf_counter())
        time.sleep(0.001)


def again(bench):
    """The same bytes once more: read from a pipe, as stdin, by path."""
    lab, path = bench.shared, bench.table(1)
    data = path.read_bytes()
    export = '"$0" export -q Stream - --suffix .csv'
    ways = {"a pipe": f'cat "$1" | {export}', "stdin, a file": f'exec {export} < "$1"'}
    lab.run("sh", "-c", ways["a pipe"], bench.onenb, path)
    found = {way: [] for way in ways}
    for _ in range(bench.rounds):
        for way, command in ways.items():
            hashed = seconds_of(blake3.blake3, data) + seconds_of(blake3.blake3, data)
            found[way].append((hashed, lab.run("sh", "-c", command, bench.onenb, path)[0]))
    for way, pairs in found.items():
        hashed, ours = zip(*pairs)
        besides = f"{megabytes_a_second(data, ours)}; {median(ours)}, two passes {median(hashed)}"
        bench.row(f"identical bytes again, {way}, rate over that of two passes of blake3",
                  [one / our for one, our in pairs], "×", ">=", 0.6, besides)
    # Times of a file are only trusted when it was not changed within the last two seconds.
    time.sleep(max(0.0, path.stat().st_mtime + 3 - time.time()))
    by_path = (bench.onenb, "export", "-q", "Path", path)
    lab.run(*by_path)
    times = [lab.run(*by_path)[0] * 1e3 for _ in range(bench.often)]
    bench.row("identical bytes again, by path", times, "ms", "<=", 10)


def noise(bench):
    path, source, count = bench.folder / "noise.bin", random.Random(f"{SEED} noise"), int(bench.megabytes / 2)
    with open(path, "wb") as file:
        for _ in range(count):
            file.write(source.randbytes(1_000_000))
    runs = []
    for _ in range(bench.rounds):
        with bench.lab() as lab:
            runs.append(lab.run(bench.onenb, "export", "-q", "Noise", path))
    bench.row(f"random bytes, {count:,} MB", [count / wall for wall, *_ in runs], "MB/s", ">=", 800,
              f"CPU {median([cpu for _, cpu, _ in runs])}")


def one_thread(data, folder):
    """Seconds that the parts of a restore and of an ingest take for these bytes."""
    frames = [data[at : at + FRAME] for at in range(0, len(data), FRAME)]
    hashes = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    packer, third, reader = zstandard.ZstdCompressor(1), zstandard.ZstdCompressor(3), zstandard.ZstdDecompressor()
    packed, path = [third.compress(frame) for frame in frames], folder / "written"

    def each(call, parts):
        for part in parts:
            call(part)

    def write():
        path.unlink(missing_ok=True)
        with open(path, "wb") as file:
            each(file.write, frames)

    taken = {
        "cut": len(data) / CUTTING,
        "hash": least_of(each, blake3.blake3, hashes),
        "encode": least_of(each, packer.compress, frames),
        "decode": least_of(each, reader.decompress, packed),
        "write": least_of(write),
    }
    path.unlink()
    return taken


def table(bench):
    """A table into an empty store, and out of it."""
    path = bench.table(0.4)
    data = path.read_bytes()
    shares = {"first ingest": [], "restore to a file": [], "restore to nothing": []}
    walls = {what: [] for what in shares}
    for _ in range(bench.rounds):
        with bench.lab() as lab:
            limit = one_thread(data, lab.folder)
            limits = {
                "first ingest": (limit["cut"] + limit["hash"] + limit["encode"]) / 2,
                "restore to a file": (limit["decode"] + limit["hash"]) / 2 + limit["write"],
                "restore to nothing": (limit["decode"] + limit["hash"]) / 2,
            }
            os.sync()
            for what, command in (
                ("first ingest", ("export", "-q", "Table", path)),
                ("restore to a file", ("get", "-q", "working:Table", "-o", "out.csv")),
                ("restore to nothing", ("cat", "working:Table")),
            ):
                walls[what].append(lab.run(bench.onenb, *command)[0])
                shares[what].append(limits[what] / walls[what][-1])
            if (lab.folder / "out.csv").read_bytes() != data:
                raise SystemExit("the table came back as something else")
    for what, goal in (("first ingest", 0.8), ("restore to a file", 0.7), ("restore to nothing", 0.7)):
        limit = statistics.median(share * wall for share, wall in zip(shares[what], walls[what]))
        bench.row(f"{what}, {len(data) / 1e6:,.0f} MB, of the limit of two threads", shares[what], "×", ">=", goal,
                  f"{megabytes_a_second(data, walls[what])}; {median(walls[what])}, limit {limit:.2f} s")


def read(bench):
    path = bench.table(0.2)
    bench.shared.run(bench.onenb, "export", "-q", "Frame", path)
    plainly = f"read_frame({str(path)!r})"
    pairs = [(bench.python("read_frame()"), bench.python(plainly)) for _ in range(bench.rounds + 1)][1:]
    ours, plain = zip(*pairs)
    bench.row(f"a CSV of {path.stat().st_size / 1e6:,.0f} MB into pandas, over the plain file",
              [our / one for our, one in pairs], "×", "<=", 1.1, f"{median(ours)} over {median(plain)}")


PARTS = {part.__name__: part for part in (start, small, look_up, batch, again, noise, table, read)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onenb")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exports", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--json", help="where to leave the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench, about = Bench(options, pathlib.Path(folder)), machine(folder)
        version = subprocess.run([bench.onenb, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        about |= {"load": round(os.getloadavg()[0], 1), "onenb": version}
        print(", ".join(f"{name}: {value}" for name, value in about.items()), end=".\n\n")
        print(row(["what", "measured", "goal", "verdict", "besides"]))
        print("|---" * 5 + "|")
        with bench.lab() as bench.shared:
            for name in options.only:
                PARTS[name](bench)
    if options.json:
        scale = {name: getattr(options, name) for name in ("only", "rounds", "exports", "megabytes")}
        figures = {"machine": about, "options": scale, "figures": bench.figures}
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
