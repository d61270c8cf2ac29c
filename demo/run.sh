#!/usr/bin/env bash
# The whole product on real input: export in notebooks, commit, tag, push, read back by tag on "another machine".
# `make demo` prepares the virtual environment that this expects on PATH. With `--s3` the remote is a bucket of a real S3
# server on loopback (`make demo S3=1`).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/onenb-demo.XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
# A machine is a home directory, a cache and nothing else of the user's.
machine() {
    export HOME="$work/$1/home" XDG_CONFIG_HOME="$work/$1/config" XDG_CACHE_HOME="$work/$1/cache" GIT_CONFIG_NOSYSTEM=1
    mkdir -p "$HOME"
    git config --global user.name "Demo" && git config --global user.email demo@example.com
    git config --global init.defaultBranch main && git config --global advice.detachedHead false
}
run_all() { # VERSION
    python "$here/make_notebook.py" --version "$1" report.ipynb
    mkdir -p runs
    for gamma in 0.0005 0.001 0.002; do
        DEMO_ORIGINALS="$work/originals/v$1" python "$here/execute.py" report.ipynb "runs/gamma-$gamma.ipynb" gamma=$gamma
    done
}

if [ "${1:-}" = --s3 ]; then
    say "An S3 server on loopback"
    moto_server --host 127.0.0.1 --port 0 2>"$work/server.log" >&2 &
    server=$!
    until endpoint=$(sed -n 's/.*Running on \(http:[^ ]*\).*/\1/p' "$work/server.log") && [ -n "$endpoint" ]; do
        kill -0 "$server" || { cat "$work/server.log" >&2; exit 1; }
        sleep 0.1
    done
    export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
    python -c 'import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1] + "/acme-data", method="PUT"))' "$endpoint"
    echo "  $endpoint"
fi

say "A repository with its remote"
machine first
git init -q --bare "$work/origin.git"
git init -q "$work/first/digits" && cd "$work/first/digits"
git remote add origin "$work/origin.git"
if [ -n "$server" ]; then
    show onenb init --name digits cloud --bucket acme-data --key-prefix digits --endpoint-url "$endpoint" s3
    create=--create
else
    show onenb init --name digits dir "$work/remote"
    create=
fi

say "Three runs of a notebook in real kernels: parquet, csv, npy, pickle"
run_all 1
show onenb addnb runs/*.ipynb
git add report.ipynb runs
show git commit -q -m "first report"
show git tag v1
show onenb push $create

say "The notebook changes; this time the hooks do the bookkeeping"
run_all 2
git add report.ipynb runs
show git commit -q -m "drop some samples"
show git tag v2
show git push -q origin main v1 v2
show onenb ls v2
show onenb status

say "Another machine: a fresh clone, another home, no cache, the first folder moved away"
mv "$work/first" "$work/first-gone"
machine second
git clone -q "$work/origin.git" "$work/second/digits" && cd "$work/second/digits"
if onenb cat "v1:Predictions" -p gamma=0.001 -p width=8 >/dev/null; then
    echo "an unapproved remote was read" >&2
    exit 1
fi
show onenb remote approve
python "$here/read_back.py" "$work/originals"
for tag in v1 v2; do
    for gamma in 0.0005 0.001 0.002; do
        onenb cat "$tag:Predictions?gamma=$gamma&width=8" | cmp - "$work/originals/$tag/gamma=$gamma/Predictions.csv"
        onenb cat "$tag:Model" -p gamma=$gamma -p width=8 | cmp - "$work/originals/$tag/gamma=$gamma/Model.pkl"
    done
    onenb cat "$tag:Digits" | cmp - "$work/originals/$tag/gamma=0.001/Digits.parquet"
done
echo "  the shell reads the same bytes"
show onenb pull v1
show onenb pull v2
show onenb verify

say "What it cost"
raw=$(find "$work/originals" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
onenb stats --json | python -c '
import json, sys
stats, raw = json.load(sys.stdin), int(sys.argv[1])
unique, stored, delta = stats["unique"], stats["stored"], stats["saved"]["delta"]
rows = [
    ("exports written (2 tags x 3 runs x 4)", "24"),
    ("raw size", f"{raw / 1e6:.2f} MB"),
    ("stored size", f"{stored / 1e6:.2f} MB"),
    ("saved by deduplication", f"{(raw - unique) / 1e6:.2f} MB"),
    ("saved by deltas", f"{delta / 1e6:.2f} MB"),
    ("saved by compression", f"{(unique - stored - delta) / 1e6:.2f} MB"),
]
for name, value in rows:
    print(f"  {name:<38} {value:>10}")
' "$raw"
echo
echo "demo: everything read back identical"
