"""What remotes cost, beside the provider's Python clients, against an S3 server on loopback with and without latency.

    python bench/remote.py ONENB [--megabytes N] [--json FILE]

Every figure comes from the same run: the same server, the same bytes, each program a process of its own with empty
caches. Requests and bytes are counted by the relay that adds the latency. Prints Markdown; the server is moto's, in
Python and one request at a time, unless `--server PROGRAM` names s3s-fs.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from relay import Relay

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
BUCKET = "onenb-bench"
ROUNDS = 3
LATENCIES = (0, 20)
COLUMNS = 40

BOTO = """
import boto3, sys
from boto3.s3.transfer import TransferConfig
client = boto3.client("s3")
client.upload_file(sys.argv[1], sys.argv[2], sys.argv[3])
"""
ARROW = """
import os, shutil, sys
from pyarrow import fs
store = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://")[1], scheme="http")
with open(sys.argv[1], "rb") as source, store.open_output_stream(f"{sys.argv[2]}/{sys.argv[3]}") as target:
    shutil.copyfileobj(source, target, 8 << 20)
"""
CLIENTS = {"boto3": BOTO, "pyarrow": ARROW}
# pyarrow may abort when Python ends while its threads do, so these two do not wait for that.
ARROW_COLUMN = """
import os, sys
from pyarrow import fs, parquet
store = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://")[1], scheme="http")
table = parquet.read_table(f"{sys.argv[1]}/{sys.argv[2]}", columns=["c7"], filesystem=store)
print(table.num_rows, flush=True)
os._exit(0)
"""
ONENB_COLUMN = """
import os, sys
import OneNB
from pyarrow import parquet
with OneNB.load(sys.argv[1], "v1", "Wide").reader() as source:
    print(parquet.read_table(source, columns=["c7"]).num_rows, flush=True)
os._exit(0)
"""


WIDE = """
import sys
import numpy, pyarrow
from pyarrow import parquet
values, columns = numpy.random.default_rng(1), int(sys.argv[3])
table = pyarrow.table({f"c{number}": values.standard_normal(int(sys.argv[2])) for number in range(columns)})
parquet.write_table(table, sys.argv[1], compression="zstd", use_dictionary=False)
groups = parquet.ParquetFile(sys.argv[1]).metadata
column = sum(groups.row_group(number).column(7).total_compressed_size for number in range(groups.num_row_groups))
print(column + groups.serialized_size)
"""


class Bench:
    def __init__(self, onenb, folder, server, megabytes):
        self.onenb, self.folder, self.megabytes = str(pathlib.Path(onenb).resolve()), pathlib.Path(folder), megabytes
        self.figures = {}
        if server:
            self.start_s3s(server)
        else:
            sys.path.insert(0, str(TESTS))
            from fault_matrix import Server

            self.server = Server(TESTS / "s3_server.py")
            self.store = self.server.address
        self.relay = Relay(self.store)
        if not server:
            urllib.request.urlopen(urllib.request.Request(f"http://{self.store}/{BUCKET}", method="PUT"))
        self.clean = 0

    def start_s3s(self, program):
        root = self.folder / "s3s"
        (root / BUCKET).mkdir(parents=True)
        command = [program, "--access-key", "tester", "--secret-key", "secret", "--host", "127.0.0.1", "--port", "8914"]
        self.process = subprocess.Popen([*command, str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.store = "127.0.0.1:8914"
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{self.store}/")
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{program} does not answer")

    def environment(self):
        """An environment with caches that nobody has used."""
        self.clean += 1
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_CACHE_HOME": str(self.folder / f"cache{self.clean}"), "GIT_CONFIG_NOSYSTEM": "1",
            "AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{self.relay.address}",
            # What boto3 needs so as to leave no checksum trailers to a server that may not know them.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            **{f"GIT_{who}_{what}": "b@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def run(self, where, *command, round_trip=0):
        """Runs a program; returns seconds, requests, bytes sent and received, peak memory in MB, and its output."""
        self.relay.begin(round_trip)
        env, start = self.environment(), time.perf_counter()
        with tempfile.TemporaryFile() as talk:
            process = subprocess.Popen(
                list(map(str, command)), cwd=where, env=env, stdout=subprocess.PIPE, stderr=talk
            )
            out = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                talk.seek(0)
                raise SystemExit(f"{command}: exit code {process.returncode}\n{talk.read().decode()}")
        peak = usage.ru_maxrss / 1000
        return {
            "seconds": seconds, "requests": self.relay.requests, "sent": self.relay.sent,
            "received": self.relay.received, "peak_mb": peak, "out": out,
        }

    def repository(self, name):
        """Makes a repository whose remote is a prefix of its own."""
        where = self.folder / name
        where.mkdir()
        self.run(where, "git", "init", "--quiet")
        url = f"s3://{BUCKET}/{name}"
        self.run(where, self.onenb, "init", "--name", name, "local")
        self.run(where, self.onenb, "remote", "set", url)
        return where, url

    def commit(self, where, tag):
        self.run(where, "git", "add", ".1nb")
        self.run(where, "git", "commit", "--quiet", "--no-verify", "--message", tag)
        self.run(where, "git", "tag", tag)

    def keep(self, name, runs):
        """Keeps the median of each figure."""
        self.figures[name] = {
            key: statistics.median(run[key] for run in runs)
            for key in ("seconds", "requests", "sent", "received", "peak_mb")
        }
        return self.figures[name]

    def push(self):
        """A push of incompressible bytes, beside a plain upload of the file that holds them."""
        data = self.folder / "data.bin"
        with open(data, "wb") as file:
            for number in range(self.megabytes):
                file.write(random.Random(number).randbytes(1_000_000))
        for latency in LATENCIES:
            pushes, again, plain = [], [], {client: [] for client in CLIENTS}
            for number in range(ROUNDS):
                for client, code in CLIENTS.items():
                    key = f"plain/{client}-{latency}-{number}"
                    plain[client].append(
                        self.run(self.folder, sys.executable, "-c", code, data, BUCKET, key, round_trip=latency)
                    )
                where, _ = self.repository(f"big{latency}x{number}")
                self.run(where, self.onenb, "export", "Big", data)
                self.commit(where, "v1")
                pushes.append(self.run(where, self.onenb, "push", "--create", "v1", round_trip=latency))
                again.append(self.run(where, self.onenb, "push", "v1", round_trip=latency))
                shutil.rmtree(where)
            self.keep(f"push {latency}", pushes)
            self.keep(f"push again {latency}", again)
            for client, runs in plain.items():
                self.keep(f"plain {client} {latency}", runs)
        data.unlink()

    def column(self):
        """One column of a wide table by tag, beside pyarrow on the same file in the bucket."""
        where, url = self.repository("wide")
        rows = self.megabytes * 1_000_000 // 2 // COLUMNS // 8
        file = self.folder / "wide.parquet"
        # In a process of its own: what this one needs is the least that a child's peak can show.
        column = int(self.run(self.folder, sys.executable, "-c", WIDE, file, rows, COLUMNS)["out"])
        self.run(where, self.onenb, "export", "Wide", file)
        self.commit(where, "v1")
        self.run(where, self.onenb, "push", "--create", "v1")
        self.run(self.folder, sys.executable, "-c", BOTO, file, BUCKET, "plain/wide.parquet")
        self.figures["column bytes"] = {"received": column}
        self.figures["column file"] = {"received": file.stat().st_size}
        for latency in LATENCIES:
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(self.run(
                    self.folder, sys.executable, "-c", ARROW_COLUMN, BUCKET, "plain/wide.parquet", round_trip=latency
                ))
                ours.append(self.run(self.folder, sys.executable, "-c", ONENB_COLUMN, url, round_trip=latency))
                assert ours[-1]["out"] == theirs[-1]["out"], "not the same rows"
            self.keep(f"column {latency}", ours)
            self.keep(f"column pyarrow {latency}", theirs)

    def small(self):
        """Ten thousand exports in one tag: the push, a cold listing, and one cold read."""
        where, url = self.repository("small")
        lines = []
        for number in range(10_000):
            path = self.folder / "small-data" / f"{number}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("a,b\n" + "\n".join(f"{number},{number * row}" for row in range(40)) + "\n")
            lines.append(f"E{number}\t{path}\n")
        listing = self.folder / "list"
        listing.write_text("".join(lines))
        self.run(where, self.onenb, "export", "--batch", listing)
        self.commit(where, "v1")
        self.keep("small push", [self.run(where, self.onenb, "push", "--create", "v1")])
        for latency in LATENCIES:
            lists = [self.run(self.folder, self.onenb, "ls", f"{url}@v1", round_trip=latency) for _ in range(ROUNDS)]
            assert lists[0]["out"].count(b"\n") >= 10_000
            self.keep(f"small ls {latency}", lists)
            one = f"{url}@v1:E77"
            cats = [self.run(self.folder, self.onenb, "cat", one, round_trip=latency) for _ in range(ROUNDS)]
            assert cats[0]["out"].startswith(b"a,b\n77,0\n")
            self.keep(f"small cat {latency}", cats)

    def read(self):
        """The whole of a large export, cold, and what it needs of memory."""
        where, url = self.repository("whole")
        data = self.folder / "whole.bin"
        with open(data, "wb") as file:
            for number in range(self.megabytes):
                file.write(random.Random(number).randbytes(1_000_000))
        self.run(where, self.onenb, "export", "Big", data)
        self.commit(where, "v1")
        self.run(where, self.onenb, "push", "--create", "v1")
        for latency in LATENCIES:
            target = self.folder / "out.bin"
            runs = []
            for _ in range(ROUNDS):
                target.unlink(missing_ok=True)
                runs.append(
                    self.run(self.folder, self.onenb, "get", f"{url}@v1:Big", "-o", target, round_trip=latency)
                )
            self.keep(f"read {latency}", runs)


def report(bench):
    figure, megabytes = bench.figures, bench.megabytes

    def line(*cells):
        print("| " + " | ".join(cells) + " |")

    line("what", "added latency", "seconds", "requests", "MB sent", "MB received", "peak MB")
    line(*["---"] * 7)
    for name, one in figure.items():
        if "seconds" not in one:
            continue
        what, _, latency = name.rpartition(" ")
        if not latency.isdigit():
            what, latency = name, "0"
        line(
            what, f"{latency} ms", f"{one['seconds']:.2f}", f"{one['requests']:.0f}", f"{one['sent'] / 1e6:.1f}",
            f"{one['received'] / 1e6:.1f}", f"{one['peak_mb']:.0f}",
        )
    print()
    for latency in LATENCIES:
        plain = {client: figure.get(f"plain {client} {latency}") for client in CLIENTS}
        if all(plain.values()):
            name, best = min(plain.items(), key=lambda item: item[1]["seconds"])
            rate = best["seconds"] / figure[f"push {latency}"]["seconds"]
            print(f"push of {megabytes} MB at {latency} ms: {rate:.2f} of the rate of {name}, the fastest client")
        if f"column {latency}" in figure:
            ours, theirs = figure[f"column {latency}"], figure[f"column pyarrow {latency}"]
            need = figure["column bytes"]["received"]
            print(
                f"one of {COLUMNS} columns at {latency} ms: {ours['received'] / need:.2f} x its bytes and footer, "
                f"{ours['seconds'] / theirs['seconds']:.2f} x the time of pyarrow on the plain file"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onenb")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--server", help="the program s3s-fs, in place of moto")
    parser.add_argument("--only", choices=["push", "column", "small", "read"], action="append")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.onenb, folder, options.server, options.megabytes)
        for part in options.only or ["push", "column", "small", "read"]:
            getattr(bench, part)()
        report(bench)
        if options.json:
            options.json.write_text(json.dumps(bench.figures, indent=1) + "\n")
        if options.server:
            bench.process.kill()


if __name__ == "__main__":
    main()
