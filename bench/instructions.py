"""Instructions of the hot paths, which no noise of the machine hides, beside the committed ones.

    python bench/instructions.py ONENB [--write]

Runs the program under valgrind's callgrind on made-up data, always the same, and compares with
`docs/bench/instructions.json`: more than 3 per cent away, up or down, is exit code 1. `--write` records anew; say in
the commit why. Counts hold for one compiler and one kind of processor: elsewhere, and where there is no valgrind, the
check is skipped, saying so.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "docs" / "bench" / "instructions.json"
LIMIT = 0.03
ROWS = 120_000


def table(edits=()):
    """A table as CSV, about 5 MB; each edit is a row that has other numbers."""
    numbers, others = random.Random(1), random.Random(2)
    rows = [f"{row},{numbers.choice(['north', 'south'])},{numbers.random():.6f},{numbers.randrange(10**6)},ok"
            for row in range(ROWS)]
    for row in edits:
        rows[row] = f"{row},west,{others.random():.6f},{others.randrange(10**6)},changed"
    return "\n".join(["row,region,share,amount,state", *rows]).encode()


def array():
    """Slowly changing numbers of eight bytes, 2 MB, as an array file has them."""
    numbers, value, parts = random.Random(3), 0.0, []
    for _ in range(250_000):
        value += numbers.gauss(0, 1)
        parts.append(struct.pack("<d", value))
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (250000,), }"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"".join(parts)


class Lab:
    """A repository of its own."""

    def __init__(self, onenb, folder):
        self.onenb, self.folder = str(pathlib.Path(onenb).resolve()), pathlib.Path(folder)
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        files = {"table.csv": table(), "edited.csv": table(range(0, ROWS, ROWS // 20)), "array.npy": array(),
                 "noise.bin": random.Random(4).randbytes(4_000_000)}
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        self.run("git", "init", "--quiet")
        self.run(self.onenb, "init", "--name", "lab", "local")

    def run(self, *command):
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True)
        if done.returncode:
            raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stderr.decode()}")
        return done.stderr.decode()

    def commit(self, tag):
        self.run("git", "add", ".1nb")
        self.run("git", "commit", "--quiet", "--no-verify", "--allow-empty", "--message", tag)
        self.run("git", "tag", tag)

    def count(self, *arguments):
        """Returns how many instructions the program takes."""
        said = self.run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", self.onenb, *arguments)
        return int(re.search(r"Collected : (\d+)", said)[1])


def measure(lab):
    counts = {"chunk and hash a table": lab.count("hash-object", "table.csv")}
    counts["export a table"] = lab.count("export", "Table", "table.csv")
    counts["export an array"] = lab.count("export", "Array", "array.npy")
    counts["export what does not compress"] = lab.count("export", "Noise", "noise.bin")
    lab.commit("v1")
    counts["export a table with 20 edits"] = lab.count("export", "Table", "edited.csv")
    lab.commit("v2")
    counts["read a table"] = lab.count("cat", "v1:Table")
    counts["read a table that leans on another"] = lab.count("cat", "v2:Table")
    counts["verify"] = lab.count("verify")
    counts["resolve by tag"] = lab.count("resolve", "v2:Table")
    counts["hook with nothing to do"] = lab.count("hook", "post-commit")
    return counts


def setting():
    """Says what the counts depend on besides the program's source."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]
    flags = pathlib.Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    wide = [flag for flag in ("avx2", "bmi2") if f" {flag} " in flags]
    return " ".join([platform.machine(), *wide, f"rustc {rustc}", " ".join(platform.libc_ver())])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onenb")
    parser.add_argument("--write", action="store_true", help="record what is measured")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped 1 check: there is no valgrind to count instructions with")
        return 0
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {"setting": None, "counts": {}}
    if not options.write and recorded["setting"] != setting():
        print(f"skipped 1 check: instructions are recorded for {recorded['setting']}, this is {setting()}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        counts = measure(Lab(options.onenb, folder))
    far = 0
    for name, count in counts.items():
        before = recorded["counts"].get(name)
        change = count / before - 1 if before else 0.0
        is_far = abs(change) > LIMIT or not before
        far += is_far
        print(f"{name:36} {count:>13,} {change:+8.2%}{' <- too far' if is_far and not options.write else ''}")
    if options.write:
        RECORDED.write_text(json.dumps({"setting": setting(), "counts": counts}, indent=1) + "\n")
    elif far:
        print(f"{far} of {len(counts)} are more than {LIMIT:.0%} away; mend it, or record it with --write and say why")
    return int(bool(far) and not options.write)


if __name__ == "__main__":
    sys.exit(main())
