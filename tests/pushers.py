"""Eight clones that push fifty tags each to one bucket at the same time, through the real program.

    python tests/pushers.py ONENB s3|azure|gcs [--pushers N] [--tags N]

Every tag is a process of its own, and all clones want one tag besides, which exactly one of them gets. Afterwards
every tag must be on the remote with exactly its data, read by machines that know nothing. Prints counts.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

from fault_matrix import BUCKET, CREDENTIALS, SCHEMES, start


class World:
    """A server, and people who share one repository."""

    def __init__(self, onenb, provider, folder):
        self.onenb, self.folder = str(pathlib.Path(onenb).resolve()), pathlib.Path(folder)
        self.server = start(provider)
        self.url = f"{SCHEMES[provider]}://{BUCKET}/team"
        self.endpoint = f"http://{self.server.address}"
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"),
            "GIT_CONFIG_NOSYSTEM": "1", **CREDENTIALS,
            **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def run(self, where, *command, machine="here", stdin=None):
        env = dict(self.env, XDG_CACHE_HOME=str(self.folder / "caches" / machine))
        done = subprocess.run(list(map(str, command)), cwd=where, env=env, input=stdin, capture_output=True)
        return done.returncode, done.stdout, done.stderr.decode()

    def ok(self, where, *command, **more):
        code, out, err = self.run(where, *command, **more)
        assert code == 0, f"{command}: exit code {code}\n{err}"
        return out


def data_of(pusher, number):
    """What the tag of a pusher holds: half of it everybody has."""
    own = random.Random(f"{pusher} {number}").randbytes(20_000)
    return random.Random(7).randbytes(20_000) + own


def prepare(world, pusher, tags):
    """Makes a clone with its tags; nothing is pushed."""
    clone = world.folder / f"clone{pusher}"
    world.ok(world.folder, "git", "clone", "--quiet", world.folder / "origin", clone)
    for number in range(tags):
        world.ok(clone, world.onenb, "export", "Sales", "-", "--suffix", ".bin", stdin=data_of(pusher, number))
        world.ok(clone, "git", "add", ".")
        world.ok(clone, "git", "commit", "--quiet", "--no-verify", "--message", str(number))
        world.ok(clone, "git", "tag", f"p{pusher}-{number}")
    world.ok(clone, "git", "tag", "shared")
    return clone


def push_all(world, pusher, clone, tags, won, failures):
    machine = f"machine{pusher}"
    for number in range(tags):
        code, _, err = world.run(clone, world.onenb, "push", f"p{pusher}-{number}", machine=machine)
        if code:
            failures.append(f"p{pusher}-{number}: exit code {code}\n{err}")
    code, _, err = world.run(clone, world.onenb, "push", "shared", machine=machine)
    if code == 0:
        won.append(pusher)
    elif "shared" not in err or "--force" not in err:
        failures.append(f"the loser of `shared` is not told why: {err}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onenb")
    # s3s-fs lets several creators of one key win.
    parser.add_argument("provider", choices=sorted(SCHEMES.keys() - {"s3s"}))
    parser.add_argument("--pushers", type=int, default=8)
    parser.add_argument("--tags", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(options.onenb, options.provider, folder)
        origin = world.folder / "origin"
        world.ok(world.folder, "git", "init", "--quiet", origin)
        world.ok(origin, world.onenb, "init", "--name", "demo", "local")
        world.ok(origin, world.onenb, "remote", "set", world.url, "--endpoint-url", world.endpoint)
        world.ok(origin, world.onenb, "export", "Sales", "-", "--suffix", ".bin", stdin=b"start")
        world.ok(origin, "git", "add", ".")
        world.ok(origin, "git", "commit", "--quiet", "--no-verify", "--message", "start")
        world.ok(origin, "git", "tag", "start")
        world.ok(origin, world.onenb, "push", "--create", "start")
        clones = [prepare(world, pusher, options.tags) for pusher in range(options.pushers)]
        won, failures, started = [], [], time.monotonic()
        jobs = [
            threading.Thread(target=push_all, args=(world, pusher, clone, options.tags, won, failures))
            for pusher, clone in enumerate(clones)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        took = time.monotonic() - started
        assert not failures, "\n".join(failures)
        assert len(won) == 1, f"`shared` was won by {won}"
        world.ok(world.folder, world.onenb, "remote", "add", "cloud", world.url, "--endpoint-url", world.endpoint)
        read = 0
        for pusher in range(options.pushers):
            for number in range(options.tags):
                spec = f"cloud@p{pusher}-{number}:Sales"
                out = world.ok(world.folder, world.onenb, "cat", spec, machine="cold")
                assert out == data_of(pusher, number), f"{spec} has other data"
                read += 1
        out = world.ok(world.folder, world.onenb, "cat", "cloud@shared:Sales", machine="cold")
        assert out == data_of(won[0], options.tags - 1), "`shared` is not the winner's"
        world.ok(origin, world.onenb, "verify", "--remote", machine="cold")
        pushed = f"{options.pushers} pushers, {read} tags and a shared one in {took:.0f} s"
        print(f"{options.provider}: {pushed}, all read back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
