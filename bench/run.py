#!/usr/bin/env python3
"""Runs onenb and the installed peers side by side over the same folders and writes what it cost as JSON.

    python run.py CORPORA_DIR RESULTS.json [--onenb PROGRAM] [--rounds N] [--only CORPUS ..] [--tools TOOL ..]

Each round takes every tool through every corpus from an empty store, in an order that changes from round to round, so
that neighbours in time are compared with each other: ratios are taken within a round. Measured are wall time, CPU
seconds of the process and its children (user and system), the largest resident set of one process, and bytes in the
store.
Every restore is compared byte for byte. The file system is synced before each operation; a tool's own syncs count.
An existing RESULTS.json keeps the corpora that are not run again.
"""

import argparse
import filecmp
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

from tools import all_tools


def measure(command, workspace, environment):
    """Runs shell commands and returns what they cost."""
    os.sync()
    log = open(workspace / "log", "ab")
    log.write(f"\n$ {command}\n".encode())
    log.flush()
    start = time.monotonic()
    process = subprocess.Popen(
        ["sh", "-ec", command],
        cwd=workspace,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = (workspace / "log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"exit code {process.returncode}: {tail}")
    return {
        "wall_s": round(wall, 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 4),
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def total(costs):
    """Several operations as one: times add up, of the peaks the largest counts."""
    return {
        "wall_s": round(sum(cost["wall_s"] for cost in costs), 4),
        "cpu_s": round(sum(cost["cpu_s"] for cost in costs), 4),
        "peak_bytes": max(cost["peak_bytes"] for cost in costs),
        "count": len(costs),
    }


def bytes_below(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def become(state, data):
    """Makes `data` what `state` is as a program would: what changed is written, what did not is left alone."""
    data.mkdir(exist_ok=True)
    wanted = {path.name for path in state.iterdir()}
    for path in data.iterdir():
        if path.name not in wanted:
            path.unlink()
    for path in sorted(state.iterdir()):
        target = data / path.name
        if not target.exists() or not filecmp.cmp(path, target, shallow=False):
            shutil.copyfile(path, target)


def same(state, restored):
    names = {path.name for path in state.iterdir()}
    if names != {path.name for path in restored.iterdir()}:
        return False
    return all(filecmp.cmp(state / name, restored / name, shallow=False) for name in names)


class Course:
    """One tool over one corpus, once."""

    def __init__(self, tool, corpus, states, workspace):
        self.tool, self.corpus, self.states, self.workspace = tool, corpus, states, workspace
        home = workspace / "home"
        home.mkdir(parents=True)
        own = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "XDG_CONFIG_HOME": home / "config"}
        own["BORG_BASE_DIR"] = home
        self.environment = {
            **os.environ,
            **{key: str(value) for key, value in own.items()},
            **tool.environment,
        }
        self.environment |= {"GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}

    def do(self, command, state, times=1):
        return measure(command, self.workspace, {**self.environment, "STATE": state, "TIME": str(times)})

    def stored(self):
        return sum(bytes_below(self.workspace / store) for store in self.tool.stores)

    def run(self):
        """Returns operation → cost."""
        self.do(self.tool.setup, "")
        first, *later = self.states
        empty = self.stored()
        become(self.corpus / first, self.workspace / "data")
        costs = {"first": self.do(self.tool.ingest, first)}
        costs["first"]["stored_bytes"] = self.stored() - empty
        if later:
            costs["later"] = total([self.update(state) for state in later])
            costs["later"]["stored_bytes"] = self.stored() - empty
        last = self.states[-1]
        costs["again"] = self.do(self.tool.ingest, last, times=2)
        if self.tool.tidy:
            costs["tidy"] = self.do(self.tool.tidy, last)
            costs["tidy"]["stored_bytes"] = self.stored() - empty
        costs["restore"] = self.restore(last)
        if later:
            costs["restore_first"] = self.restore(first)
        return costs

    def update(self, state):
        become(self.corpus / state, self.workspace / "data")
        return self.do(self.tool.ingest, state)

    def restore(self, state):
        shutil.rmtree(self.workspace / "out", ignore_errors=True)
        self.do(self.tool.before_restore, state)
        cost = self.do(self.tool.restore, state)
        if not same(self.corpus / state, self.workspace / self.tool.restored_to):
            raise RuntimeError(f"state {state} came back as something else")
        return cost


def run_course(tool, corpus, states, scratch):
    workspace = pathlib.Path(tempfile.mkdtemp(prefix="course-", dir=scratch))
    try:
        return Course(tool, corpus, states, workspace).run()
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def machine(scratch):
    def first(path, start):
        lines = pathlib.Path(path).read_text().splitlines()
        return next((line.split(":")[1].strip() for line in lines if line.startswith(start)), "unknown")

    mounts = [line.split()[1:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    above = [(len(at), kind) for at, kind in mounts if pathlib.Path(scratch).resolve().is_relative_to(at)]
    return {
        "processor": first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_bytes": int(first("/proc/meminfo", "MemTotal").split()[0]) * 1024,
        "kernel": platform.release(),
        "file_system": max(above)[1],
        "python": platform.python_version(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpora", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--onenb", default="onenb")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="corpora; all of them by default")
    parser.add_argument("--tools", nargs="*", help="tools; all that are installed by default")
    parser.add_argument("--scratch", help="where to work; the folder of the corpora by default")
    arguments = parser.parse_args()
    scratch = arguments.scratch or arguments.corpora
    tools = [
        tool for tool in all_tools(arguments.onenb) if not arguments.tools or tool.name in arguments.tools
    ]
    results = {"version": 1, "machine": {}, "tools": {}, "corpora": {}, "runs": []}
    if arguments.results.exists():
        results = json.loads(arguments.results.read_text())
    results["machine"] = machine(scratch)
    results["tools"] |= {tool.name: tool.version_text() for tool in tools}
    for corpus in sorted(path.parent for path in arguments.corpora.glob("*/about.json")):
        if arguments.only and corpus.name not in arguments.only:
            continue
        about = json.loads((corpus / "about.json").read_text())
        results["corpora"][corpus.name] = about
        done = {tool.name for tool in tools}
        results["runs"] = [
            run for run in results["runs"] if run["corpus"] != corpus.name or run["tool"] not in done
        ]
        for number in range(arguments.rounds):
            turn = number % len(tools)
            for tool in tools[turn:] + tools[:turn]:
                load = round(os.getloadavg()[0], 1)
                try:
                    costs = run_course(tool, corpus, about["states"], scratch)
                except RuntimeError as error:
                    print(f"{corpus.name}: {tool.name} failed: {error}", file=sys.stderr)
                    continue
                tell(f"{corpus.name:9} {number + 1} {tool.name:13}", costs, load)
                results["runs"].append(
                    {
                        "corpus": corpus.name,
                        "tool": tool.name,
                        "round": number + 1,
                        "load": load,
                        "costs": costs,
                    }
                )
            write(results, arguments.results)


def tell(start, costs, load):
    walls = " ".join(f"{name} {cost['wall_s']:.2f}s" for name, cost in costs.items())
    stored = costs.get("later", costs["first"])["stored_bytes"] / 1e6
    print(f"{start} {stored:8.2f} MB  {walls}  (load {load})", flush=True)


def write(results, path):
    """One line a run, so that a diff shows what changed."""
    runs = ",\n".join("  " + json.dumps(run) for run in results["runs"])
    head = json.dumps({key: value for key, value in results.items() if key != "runs"}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head[: head.rindex("}")].rstrip() + ',\n "runs": [\n' + runs + "\n ]\n}\n")


if __name__ == "__main__":
    main()
