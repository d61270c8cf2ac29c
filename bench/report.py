#!/usr/bin/env python3
"""Writes the tables of `docs/performance.md` and the charts from the measured JSON.

    python report.py RESULTS.json PERFORMANCE.md CHARTS_DIR

Only the text between the markers `<!-- bench -->` and `<!-- /bench -->` is replaced. Equal results give equal files.
"""

import json
import pathlib
import re
import statistics
import sys
from xml.sax.saxutils import escape

OURS = "onenb"
OPERATIONS = {
    "first": "first state",
    "later": "all later states",
    "again": "the same again",
    "tidy": "own tidying",
    "restore": "restore the last",
    "restore_first": "restore the first",
}
# Tools that keep versions in one store; `tar` with `zstd` is there for comparison only and no best peer.
NO_STORE = {"tar and zstd"}


class Results:
    """What was measured, by corpus, tool and round."""

    def __init__(self, document):
        self.document = document
        self.runs = {}
        for run in document["runs"]:
            self.runs.setdefault(run["corpus"], {}).setdefault(run["tool"], {})[run["round"]] = run["costs"]

    def tools(self, corpus):
        return [tool for tool in self.document["tools"] if tool in self.runs.get(corpus, {})]

    def peers(self, corpus):
        return [tool for tool in self.tools(corpus) if tool != OURS and tool not in NO_STORE]

    def values(self, corpus, tool, operation, what):
        """One value per round, by round; empty if the tool does not do it."""
        rounds = self.runs.get(corpus, {}).get(tool, {})
        return {
            number: costs[operation][what]
            for number, costs in rounds.items()
            if what in costs.get(operation, {})
        }

    def median(self, corpus, tool, operation, what):
        values = self.values(corpus, tool, operation, what)
        return statistics.median(values.values()) if values else None

    def ratio(self, corpus, operation, what, peer, peer_operation=None):
        """Median over the rounds of peer / onenb; above 1 onenb is better."""
        ours = self.values(corpus, OURS, operation, what)
        theirs = self.values(corpus, peer, peer_operation or operation, what)
        pairs = [theirs[number] / ours[number] for number in ours if number in theirs and ours[number] > 0]
        return statistics.median(pairs) if pairs else None

    def best(self, corpus, operation, what):
        """The peer that onenb has the smallest lead over, and that lead."""
        leads = [(self.ratio(corpus, operation, what, peer), peer) for peer in self.peers(corpus)]
        return min(((lead, peer) for lead, peer in leads if lead is not None), default=None)

    def stored_after(self, corpus):
        """The operation after which all states are stored."""
        return "later" if len(self.document["corpora"][corpus]["states"]) > 1 else "first"


def megabytes(value):
    return "" if value is None else f"{value / 1e6:.1f}" if value >= 1e8 else f"{value / 1e6:.2f}"


def seconds(value):
    return "" if value is None else f"{value:.2f}"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def counted(count, what):
    return f"{count} {what}" + "s" * (count != 1)


def corpus_table(results, corpus):
    about = results.document["corpora"][corpus]
    raw = sum(about["raw_bytes"].values())
    count, files = len(about["states"]), about["files"]
    facts = [counted(count, "state"), counted(files, "file"), f"{raw / 1e6:.1f} MB"]
    if "seed" in about:
        facts.append(f"seed `{about['seed']}`")
        if about["scale"] != 1:
            facts.append(f"made at scale {about['scale']:g}")
    elif about["stride"] > 1:
        facts.append(f"one state in {about['stride']} of those there are")
    rounds = min(len(results.runs[corpus][tool]) for tool in results.tools(corpus))
    facts.append("measured once" if rounds == 1 else f"measured {rounds} times")
    lines = [f"### {corpus}", "", about["what"], "", ", ".join(facts) + ".", ""]
    tools = results.tools(corpus)
    present = [
        name for name in OPERATIONS if any(results.values(corpus, tool, name, "wall_s") for tool in tools)
    ]
    lines += [
        row(["tool", "stored, MB", "after tidying", *(OPERATIONS[name] for name in present), "peak, MB"])
    ]
    lines += ["|---" * (len(present) + 4) + "|"]
    for tool in tools:

        def median(operation, what, tool=tool):
            return results.median(corpus, tool, operation, what)

        def cost(operation):
            wall = median(operation, "wall_s")
            return "" if wall is None else f"{seconds(wall)} ({seconds(median(operation, 'cpu_s'))})"

        peaks = [median(operation, "peak_bytes") for operation in present]
        peak = max(peak for peak in peaks if peak is not None)
        stored = (median(operation, "stored_bytes") for operation in (results.stored_after(corpus), "tidy"))
        lines.append(
            row(
                [
                    tool,
                    *map(megabytes, stored),
                    *(cost(operation) for operation in present),
                    f"{peak / 1e6:.0f}",
                ]
            )
        )
    return [*lines, ""]


def verdict(reached, goal):
    if reached >= goal:
        return "reached"
    return f"**missed**: {reached / goal:.2f} of the goal"


def goal_row(what, found, goal, per):
    if found is None:
        return row([what, "not measured: no peer is installed", f"{goal:g} ×", ""])
    lead, peer = found
    return row([what, f"{lead:.2f} × ({per} of {peer} / ours)", f"{goal:g} ×", verdict(lead, goal)])


def goals(results):
    """The goals that these corpora can speak to."""
    head = row(["goal", "measured, median of ratios within a round", "goal", "verdict"])
    lines = ["### Goals", "", head, "|---|---|---|---|"]
    repacked = (("versions", 0.85), ("formats", 0.7), ("table", 0.85), ("array", 0.85))
    for corpus, share in ((name, share) for name, share in repacked if name in results.runs):
        lead = results.ratio(corpus, "later", "stored_bytes", "git", "tidy")
        found = None if lead is None else (lead, "git after `gc`")
        lines.append(goal_row(f"{corpus}: stored right after export", found, 1, "bytes"))
        if results.values(corpus, OURS, "tidy", "stored_bytes"):
            lead = results.ratio(corpus, "tidy", "stored_bytes", "git")
            found = lead and (lead, "git after `gc`")
            lines.append(goal_row(f"{corpus}: stored after `repack`", found, round(1 / share, 2), "bytes"))
    for corpus, goal in (("versions", 4), ("formats", 10)):
        if results.values(corpus, OURS, "tidy", "cpu_s"):
            lead = results.ratio(corpus, "tidy", "cpu_s", "git")
            lines.append(goal_row(f"{corpus}: CPU of `repack`", lead and (lead, "`git gc`"), goal, "CPU seconds"))
    for corpus, operation, what, goal in (
        ("big", "first", "first ingest", 3),
        ("big", "later", "a small edit", 8),
        ("big", "restore", "restore", 2),
        ("table", "first", "first ingest", 3),
        ("table", "later", "later states", 8),
        ("array", "later", "later states", 8),
        ("table", "restore", "restore", 2),
        ("array", "restore", "restore", 2),
    ):
        if corpus in results.runs:
            found = results.best(corpus, operation, "wall_s")
            lines.append(goal_row(f"{corpus}: {what}, wall, best peer", found, goal, "time"))
    for corpus in (name for name in ("big", "table") if name in results.runs):
        lead = results.ratio(corpus, "first", "cpu_s", "borg, zstd 3")
        lines.append(
            goal_row(f"{corpus}: first ingest, CPU", lead and (lead, "borg, zstd 3"), 2, "CPU seconds")
        )
    for corpus, peer in (("big", "borg, zstd 3"), ("small", "casync")):
        if corpus in results.runs:
            lead = results.ratio(corpus, "first", "stored_bytes", peer)
            lines.append(goal_row(f"{corpus}: stored", lead and (lead, peer), 1, "bytes"))
    if "noise" in results.runs:
        lead = results.ratio("noise", "first", "wall_s", "dvc")
        lines.append(goal_row("noise: first ingest against DVC", lead and (lead, "dvc"), 3, "time"))
    if "small" in results.runs:
        wall = results.median("small", OURS, "first", "wall_s")
        rate = results.document["corpora"]["small"]["files"] / wall
        what = "small: exports per second, record files and commit included"
        lines.append(row([what, f"{rate:.0f}/s", "20000/s", verdict(rate, 20000)]))
    for what, chosen in (("but for `repack`", set(OPERATIONS) - {"tidy"}), ("of `repack`", {"tidy"})):
        operations = [(corpus, operation) for corpus in results.runs for operation in chosen]
        peak = max(results.median(corpus, OURS, operation, "peak_bytes") or 0 for corpus, operation in operations)
        lines.append(row([f"peak memory {what}, any corpus", f"{peak / 1e6:.0f} MB", "100 MB", verdict(1e8 / peak, 1)]))
    return [*lines, ""]


def tables(results, chart):
    document = results.document
    machine = document["machine"]
    loads = sorted(run["load"] for run in document["runs"])
    versions = "; ".join(f"{tool}: {version}" for tool, version in document["tools"].items())
    lines = [
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"{machine['file_system']}, Linux {machine['kernel']}. "
        f"The machine's load before a course was {loads[0]:g} to {loads[-1]:g}, "
        f"{statistics.median(loads):g} in the middle; where it is above 1, other work ran beside, and wall times are "
        "upper bounds: compare them only with each other, and CPU seconds before them.",
        "",
        f"Versions: {versions}.",
        "",
        "Medians. Times are wall seconds, with CPU seconds (user and system) in brackets. Stored is what the store "
        "grew by once it held all states; of caches none is counted, and of onenb not the records in Git. "
        "Peaks are of one process, and no smaller than the harness's own 15 MB.",
        "",
        f"![bytes stored by each tool]({chart})",
        "",
    ]
    for corpus in sorted(results.runs):
        lines += corpus_table(results, corpus)
    return "\n".join([*lines, *goals(results)])


def chart(results):
    """Bars: bytes stored by each tool, one group a corpus, relative to the largest of the group."""
    bars, y = [], 30
    for corpus in sorted(results.runs):
        after = results.stored_after(corpus)
        amounts = [
            (tool, results.median(corpus, tool, after, "stored_bytes")) for tool in results.tools(corpus)
        ]
        amounts += [
            (f"{tool}, tidied", results.median(corpus, tool, "tidy", "stored_bytes"))
            for tool in results.tools(corpus)
            if results.values(corpus, tool, "tidy", "stored_bytes")
        ]
        amounts = sorted((amount, tool) for tool, amount in amounts if amount)
        raw = sum(results.document["corpora"][corpus]["raw_bytes"].values())
        bars.append(
            f'<text x="8" y="{y}" class="head">{escape(corpus)}, {raw / 1e6:.1f} MB in all states</text>'
        )
        for amount, tool in amounts:
            y += 20
            width = max(1, 400 * amount / amounts[-1][0])
            kind = "ours" if tool.startswith(OURS) else "peer"
            bars.append(f'<text x="150" y="{y + 4}" class="name">{escape(tool)}</text>')
            bars.append(f'<rect x="158" y="{y - 8}" width="{width:.1f}" height="15" class="{kind}"/>')
            bars.append(f'<text x="{164 + width:.1f}" y="{y + 4}">{megabytes(amount)}</text>')
        y += 36
    style = (
        "svg{background:#fff}text{font:12px sans-serif;fill:#222}.head{font-weight:bold}.name{text-anchor:end}"
        ".ours{fill:#1b7a5a}.peer{fill:#b9c0c7}"
    )
    body = "\n".join(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{y}" viewBox="0 0 640 {y}" role="img">\n'
        f"<title>Bytes stored, MB</title>\n<style>{style}</style>\n{body}\n</svg>\n"
    )


def main():
    source, page, charts = map(pathlib.Path, sys.argv[1:])
    results = Results(json.loads(source.read_text()))
    charts.mkdir(parents=True, exist_ok=True)
    (charts / "stored.svg").write_text(chart(results))
    link = (charts / "stored.svg").relative_to(page.parent).as_posix()
    text, marked = page.read_text(), re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)
    if not marked.search(text):
        sys.exit(f"{page} has no markers `<!-- bench -->` and `<!-- /bench -->`")
    page.write_text(marked.sub(lambda found: f"{found[1]}\n{tables(results, link)}\n{found[2]}", text))


if __name__ == "__main__":
    main()
