"""Every fault at every request of push, cat, pull and gc, through the real program against a server of a provider.

    python tests/fault_matrix.py ONENB [s3|s3s|azure|gcs] [--every N] [--only OPERATION]

Before and after a rerun each tag reads whole or is not there, the rerun completes, and no pack is sent twice beyond the
one in flight. Prints counts; exit code 1 and the seedless name of the run (operation, request, fault) on a violation.
"""

import argparse
import collections
import os
import pathlib
import queue
import random
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request

import boto3

HERE = pathlib.Path(__file__).resolve().parent
BUCKET = "onenb-tests"
SCHEMES = {"s3": "s3", "s3s": "s3", "azure": "az", "gcs": "gs"}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
    # The key that every copy of Azure's emulator has.
    "AZURE_STORAGE_ACCOUNT_KEY":
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    # The key of nobody, which says that no token is needed.
    "GOOGLE_SERVICE_ACCOUNT_KEY":
        '{"private_key":"x","private_key_id":"x","client_email":"x","disable_oauth":true}',
}
ONCE = ["500", "503", "429", "409", "412", "refuse", "half-sent", "lost", "cut-0", "cut-30", "cut-99", "slow"]
KILLS = ["kill-before", "kill-after"]
DATA = {"Sales": random.Random(1).randbytes(300_000), "More": random.Random(2).randbytes(200_000)}


class Server:
    """A program that prints where it listens and ends with its standard input."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self.lines.get().split("http://")[1].strip()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())


def start(provider):
    """Starts the server of a provider, with a bucket."""
    server = Server(HERE / f"{provider}_server.py")
    if provider in ("s3", "gcs"):
        urllib.request.urlopen(urllib.request.Request(f"http://{server.address}/{BUCKET}", method="PUT")).close()
    return server


class Lab:
    """A clone with two tags, a server, and the proxy between them."""

    def __init__(self, onenb, provider, folder):
        self.onenb, self.folder, self.runs = str(pathlib.Path(onenb).resolve()), pathlib.Path(folder), 0
        self.provider = provider
        self.store = start(provider)
        host, _, account = self.store.address.partition("/")
        self.proxy = Server(HERE / "fault_proxy.py", host)
        self.endpoint = f"http://{self.proxy.address}/{account}".rstrip("/")
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"), "GIT_CONFIG_NOSYSTEM": "1", **CREDENTIALS,
            **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self.repo = self.folder / "repo"
        self.call("git", "init", "--quiet", self.repo, cwd=self.folder)
        self.ok("init", "--name", "demo", "local")
        for number, (name, data) in enumerate(DATA.items(), 1):
            subprocess.run([self.onenb, "export", name, "-", "--suffix", ".bin"], input=data, cwd=self.repo,
                           env=self.env, check=True, capture_output=True)
            self.call("git", "add", ".")
            self.call("git", "commit", "--quiet", "--no-verify", "--message", name)
            self.call("git", "tag", f"v{number}")

    def call(self, *command, cwd=None):
        subprocess.run(list(map(str, command)), cwd=cwd or self.repo, env=self.env, check=True, capture_output=True)

    def run(self, *arguments, cold=False):
        """Runs the program to its end; returns its exit code and outputs."""
        env = dict(self.env, XDG_CACHE_HOME=tempfile.mkdtemp(dir=self.folder)) if cold else self.env
        done = subprocess.run([self.onenb, *arguments], cwd=self.repo, env=env, capture_output=True)
        return done.returncode, done.stdout, done.stderr.decode()

    def ok(self, *arguments, cold=False):
        code, out, err = self.run(*arguments, cold=cold)
        assert code == 0, f"{arguments}: exit code {code}\n{err}"
        return out

    def plan(self, number="-", fault="none"):
        """Says which request is spoiled next; returns how many there were since the last plan."""
        self.proxy.process.stdin.write(f"{number} {fault}\n")
        self.proxy.process.stdin.flush()
        while (line := self.proxy.lines.get()) == "kill":
            pass
        return int(line)

    def run_until_killed(self, *arguments):
        """Runs the program and kills it when its request comes; returns its exit code, `None` if it was killed."""
        process = subprocess.Popen([self.onenb, *arguments], cwd=self.repo, env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        ended = threading.Thread(target=lambda: (process.communicate(), self.proxy.lines.put("ended")))
        ended.start()
        word = self.proxy.lines.get()
        if word == "kill":
            process.kill()
            assert self.proxy.lines.get() == "ended"
        ended.join()
        return None if word == "kill" else process.returncode

    def fresh(self):
        """Points the clone at a place where nothing is yet, and forgets what is cached."""
        self.runs += 1
        self.name = f"run{self.runs}"
        url = f"{SCHEMES[self.provider]}://{BUCKET}/{self.name}"
        self.env["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=self.folder)
        self.ok("remote", "set", "--local", url, "--endpoint-url", self.endpoint)
        self.ok("remote", "add", self.name, url, "--endpoint-url", self.endpoint)

    def packs(self):
        prefix = f"{self.name}/packs/"
        if SCHEMES[self.provider] == "s3":
            keys = {name.lower(): self.env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
            client = boto3.client("s3", endpoint_url=f"http://{self.store.address}", region_name="us-east-1", **keys)
            return client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"]
        listing = "restype=container&comp=list" if self.provider == "azure" else "list-type=2"
        with urllib.request.urlopen(f"http://{self.store.address}/{BUCKET}?{listing}&prefix={prefix}") as answer:
            return len(re.findall(rb"<(?:Key|Blob)>", answer.read()))

    def reads(self, tag, name):
        """Whether a machine that knows nothing reads the tag; anything but its exact bytes or "not there" is wrong."""
        code, out, err = self.run("cat", f"{self.name}@{tag}:{name}", cold=True)
        assert code in (0, 3), f"{tag}:{name} exit code {code}\n{err}"
        assert out == (DATA[name] if code == 0 else b""), f"{tag}:{name} has wrong bytes"
        return code == 0


def check_push(lab, ended):
    for tag, names in {"v1": ["Sales"], "v2": ["Sales", "More"]}.items():
        assert all([lab.reads(tag, name) for name in names]) or not ended, f"{tag} is not there"
    assert not ended or lab.packs() <= 2, f"{lab.packs()} packs"


def prepare_tags(lab):
    lab.ok("push", "--create")


def check_bytes(lab, ended):
    assert lab.reads("v2", "More")


def prepare_gc(lab):
    lab.ok("push", "--create", "v1")
    lab.ok("push", "v2")
    lab.ok("push", "--delete", "v2")


def check_gc(lab, ended):
    assert lab.reads("v1", "Sales") and not lab.reads("v2", "More")
    if ended:
        lab.ok("verify", "--remote", cold=True)
        assert lab.packs() == 1, f"{lab.packs()} packs"


def prepare_pull(lab):
    lab.ok("push", "--create")
    target = lab.repo / ".git" / "onenb" / "packs" / "data"
    for pack in target.iterdir():
        pack.unlink()


def check_pull(lab, ended):
    if ended:
        assert lab.ok("cat", "v2:More") == DATA["More"] and lab.ok("cat", "v1:Sales") == DATA["Sales"]


OPERATIONS = {
    "push": (lambda lab: None, lambda lab: ["push", "--create"], check_push),
    "cat": (prepare_tags, lambda lab: ["cat", f"{lab.name}@v2:More"], check_bytes),
    "gc": (prepare_gc, lambda lab: ["gc", "--remote", "--prune=now"], check_gc),
    "pull": (prepare_pull, lambda lab: ["pull", "--all"], check_pull),
}


def one_run(lab, operation, number, fault, counts):
    """Runs an operation with one fault; returns whether the fault was met."""
    prepare, command, check = OPERATIONS[operation]
    lab.fresh()
    prepare(lab)
    if operation == "cat":
        lab.env["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=lab.folder)
    arguments = command(lab)
    lab.plan(number, fault)
    if fault in KILLS:
        code = lab.run_until_killed(*arguments)
        counts["killed"] += code is None
    else:
        code, out, _ = lab.run(*arguments)
        assert operation != "cat" or code or out == DATA["More"], "wrong bytes and exit code 0"
        counts["healed by itself" if code == 0 else "failed"] += 1
        counts[f"failed: {fault}"] += code != 0
    requests = lab.plan()
    check(lab, False)
    if code != 0:
        lab.ok(*arguments)
    check(lab, True)
    lab.plan()
    counts["runs"] += 1
    return requests > number


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onenb")
    parser.add_argument("provider", choices=SCHEMES, nargs="?", default="s3")
    parser.add_argument("--every", type=int, default=1, help="only each N-th request, others for each fault")
    parser.add_argument("--only", choices=OPERATIONS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(options.onenb, options.provider, folder)
        for operation in [options.only] if options.only else OPERATIONS:
            counts = collections.Counter()
            for index, fault in enumerate(ONCE + KILLS):
                number = index % options.every
                try:
                    while one_run(lab, operation, number, fault, counts):
                        number += options.every
                except AssertionError as wrong:
                    print(f"{options.provider} {operation}, request {number}, {fault}: {wrong}", flush=True)
                    return 1
                counts["requests"] = max(counts["requests"], number)
            print(f"{options.provider} {operation}: {len(ONCE + KILLS)} faults, {dict(counts)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
