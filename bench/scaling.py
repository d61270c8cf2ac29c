"""Whether cost stays flat as a store and its history grow.

    python bench/scaling.py ONENB [--exports N ...] [--gigabytes N ...] [--json FILE]

Exports: small ones under 10,000 names in turn, a commit and a tag for each 1,000, until history has N of them; then one
more, look-ups by the oldest and the newest tag, a read, a hook. Bytes: versions of one table of 100 MB, each with 20
stretches of it changed, until so many gigabytes went in; then the next version, and reading it back. Each figure is a
process of its own, the median of five; CPU is what the kernel counts for it. Prints Markdown.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 5
NAMES = 10_000
BATCH = 1_000
TABLE = 100_000_000
STRETCHES, STRETCH = 20, 50_000


# Runs programs for the bench: the kernel counts what a process held when it became another, and this one holds little.
RUNNER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    command, folder, env = json.loads(line)
    with open(folder + "/given", "rb") as given, open(folder + "/said", "wb") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=given, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    figures = seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000
    print(json.dumps([process.returncode, *figures]), flush=True)
"""


class Lab:
    """A repository of its own."""

    def __init__(self, onenb, folder):
        self.onenb, self.folder = str(pathlib.Path(onenb).resolve()), pathlib.Path(folder)
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self.runner = subprocess.Popen([sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)
        self.run("git", "init", "--quiet")
        self.run("git", "config", "gc.auto", "0")
        self.run(self.onenb, "init", "--name", "lab", "local")

    def run(self, *command, data=None):
        """Runs a program; returns wall seconds, CPU seconds and peak memory in MB."""
        (self.folder / "given").write_bytes(data or b"")
        command = list(map(str, command))
        self.runner.stdin.write(json.dumps([command, str(self.folder), self.env]) + "\n")
        self.runner.stdin.flush()
        code, *figures = json.loads(self.runner.stdout.readline())
        if code:
            raise SystemExit(f"{command}: exit code {code}\n{(self.folder / 'said').read_text()}")
        return figures

    def medians(self, make):
        """Measures what `make` makes, given the number of the round."""
        runs = [self.run(*command, data=data) for command, data in (make(number) for number in range(ROUNDS))]
        return {what: statistics.median(run[place] for run in runs)
                for place, what in enumerate(("seconds", "cpu", "peak_mb"))}

    def commit(self, tag):
        self.run("git", "add", ".1nb")
        self.run("git", "commit", "--quiet", "--no-verify", "--message", tag)
        self.run("git", "tag", tag)

    def stored(self):
        files = (self.folder / ".git" / "onenb").rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())


def grow_by_exports(lab, counts):
    """Yields figures at each of the counts of exports in history."""
    done, numbers = 0, random.Random(1)
    for count in counts:
        while done < count:
            lines = []
            for number in range(BATCH):
                name = f"N{(done + number) * 7 % NAMES}"
                path = lab.folder / "small" / f"{number}.csv"
                path.parent.mkdir(exist_ok=True)
                path.write_text(f"id,share\n{done + number},{numbers.random()}\n" * 5)
                lines.append(f"{name}\t{path}")
            (lab.folder / "list").write_text("\n".join(lines) + "\n")
            lab.run(lab.onenb, "export", "--batch", "list")
            done += BATCH
            lab.commit(f"t{done}")
        lab.run("git", "commit", "--quiet", "--allow-empty", "--message", "nothing of ours")
        lab.run(lab.onenb, "resolve", "t1000:N0")
        one = lab.onenb, "export", "--suffix", ".csv"
        yield count, {
            "hook with nothing to do": lab.medians(lambda _: ((lab.onenb, "hook", "post-commit"), None)),
            "one small export": lab.medians(lambda number: ((*one, f"One{number}"), b"x,y\n1,2\n")),
            "resolve by the oldest tag": lab.medians(lambda _: ((lab.onenb, "resolve", "t1000:N0"), None)),
            "resolve by the newest tag": lab.medians(lambda _: ((lab.onenb, "resolve", f"t{count}:N0"), None)),
            "cat of an export": lab.medians(lambda _: ((lab.onenb, "cat", f"t{count}:N0"), None)),
            "stored MB": lab.stored() / 1e6,
        }


def versions():
    """Yields versions of a table, each with stretches of the one before changed."""
    numbers = random.Random(2)
    rows = b"".join(b"%09d,%s\n" % (row, numbers.randbytes(20).hex().encode()) for row in range(TABLE // 51))
    table = bytearray(rows)
    while True:
        yield bytes(table)
        for _ in range(STRETCHES):
            at = numbers.randrange(len(table) - STRETCH)
            table[at : at + STRETCH] = numbers.randbytes(STRETCH // 2).hex().encode()


def grow_by_bytes(lab, sizes):
    """Yields figures at each of the sizes, in gigabytes of versions that went in."""
    made, written = versions(), 0
    for size in sizes:
        while written < size * 10**9:
            data = next(made)
            lab.run(lab.onenb, "export", "Table", "-", "--suffix", ".csv", data=data)
            written += len(data)
        lab.commit(f"g{size}")
        read = lab.medians(lambda _: ((lab.onenb, "cat", f"g{size}:Table"), None))
        following = [next(made) for _ in range(ROUNDS)]
        figures = lab.medians(
            lambda number: ((lab.onenb, "export", "Table", "-", "--suffix", ".csv"), following[number])
        )
        written += sum(map(len, following))
        yield size, {"the next version": figures, "read a version": read, "stored MB": lab.stored() / 1e6}


def table(title, figures):
    names = [name for name in next(iter(figures.values())) if name != "stored MB"]
    print(f"| {title} | " + " | ".join(f"{name}: ms (CPU ms, peak MB)" for name in names) + " | stored, MB |")
    print("|---" * (len(names) + 2) + "|")
    for size, row in figures.items():
        cells = [f"{row[name]['seconds'] * 1e3:,.1f} ({row[name]['cpu'] * 1e3:,.1f}, {row[name]['peak_mb']:.0f})"
                 for name in names]
        print(f"| {size:,} | " + " | ".join(cells) + f" | {row['stored MB']:,.0f} |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onenb")
    parser.add_argument("--exports", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--gigabytes", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--json", help="where to leave the figures")
    options = parser.parse_args()
    figures = {}
    for title, grow, sizes in (("exports", grow_by_exports, options.exports), ("GB", grow_by_bytes, options.gigabytes)):
        if sizes:
            with tempfile.TemporaryDirectory() as folder:
                figures[title] = dict(grow(Lab(options.onenb, folder), sorted(sizes)))
            table(title, figures[title])
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
