#!/usr/bin/env python3
"""Builds what is measured: folders `NAME/01`, `NAME/02`, ... of files, one folder a state, and `NAME/about.json`.

    python corpora.py OUT_DIR [--real FOLDER] [--stride N] [--scale X] [--only NAME ..]

Generated data comes from the seed below, so that every machine measures the same bytes. `--real` names the folder whose
`versions/*` hold real states of files and whose `files` hold real tables; without it the corpora made of these are left
out, which is said, and so is `formats` without pandas and pyarrow, whose versions it depends on. `--stride` takes every
n-th of the real states, `--scale` makes all other data larger or smaller.
"""

import argparse
import functools
import json
import pathlib
import random
import shutil
import struct
from array import array as array_of

SEED = 20261121
HEADER = ("id", "day", "city", "amount", "customer", "score")
CITIES = ("Oslo", "Lagos", "Lima", "Quito", "Osaka", "Turin", "Accra", "Perth")


class Missing(Exception):
    """What a corpus is made of is not here."""


def table_row(source, number):
    day = f"2024-{1 + number // 2000 % 12:02}-{1 + number // 80 % 28:02}"
    amount = f"{source.random() * 10 ** source.randrange(1, 5):.2f}"
    return [
        str(number),
        day,
        source.choice(CITIES),
        amount,
        str(source.randrange(10**6)),
        f"{source.gauss(0, 1):.5f}",
    ]


def table(folder, source, scale):
    """A table that lives through eight states: it grows, is edited here and there, gets rows in the middle, loses some,
    gets another column, and is sorted anew."""
    rows = [table_row(source, number) for number in range(int(600_000 * scale))]
    header = [*HEADER]

    def write(state):
        lines = [",".join(row) for row in [header, *rows]]
        write_file(folder / state / "table.csv", ("\n".join(lines) + "\n").encode())

    def grow(count):
        rows.extend(table_row(source, len(rows) + number) for number in range(count))

    def edit(count):
        for _ in range(count):
            rows[source.randrange(len(rows))][3] = f"{source.random() * 1000:.2f}"

    few = len(rows) // 1000
    write("01")
    grow(20 * few)
    write("02")
    edit(few)
    write("03")
    for _ in range(40):
        at = source.randrange(len(rows))
        rows[at:at] = [table_row(source, 10**7 + number) for number in range(few // 20 + 1)]
    write("04")
    del rows[len(rows) // 3 : len(rows) // 3 + 5 * few]
    edit(2 * few)
    write("05")
    header.append("region")
    for row in rows:
        row.append("north" if row[2] in ("Oslo", "Perth") else "south")
    write("06")
    rows.sort(key=lambda row: (row[2], row[1]))
    write("07")
    grow(10 * few)
    edit(few)
    write("08")


def walk(source, count):
    """A random walk with three decimals."""
    value = 0.0
    for _ in range(count):
        value += source.gauss(0, 1)
        yield round(value, 3)


def npy_head(count):
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({count},), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


def array(folder, source, scale):
    """A numeric array (npy, float64) of a random walk; in each later state a part is computed anew."""
    count = int(2_000_000 * scale)
    values = list(walk(source, count))
    for state in range(1, 4):
        if state > 1:
            start = source.randrange(count // 2)
            for at in range(start, start + count // 50):
                values[at] += 1.0
        write_file(folder / f"{state:02}" / "walk.npy", npy_head(count) + struct.pack(f"<{count}d", *values))


def big(folder, source, scale):
    """A large table (CSV, 0.9 GB) and a large array (npy, 0.4 GB), then the same with a small edit of each."""
    rows, count = int(20_000_000 * scale), int(50_000_000 * scale)
    first, second = folder / "01", folder / "02"
    for state in (first, second):
        state.mkdir(parents=True)
    edited = set(source.sample(range(rows), 20))
    with open(first / "table.csv", "wb") as before, open(second / "table.csv", "wb") as after:
        for start in range(0, rows, 100_000):
            numbers = range(start, min(start + 100_000, rows))
            lines = [",".join(table_row(source, number)) + "\n" for number in numbers]
            before.write("".join(lines).encode())
            for number in numbers:
                if number in edited:
                    lines[number - start] = lines[number - start].replace(",", ",edited ", 1)
            after.write("".join(lines).encode())
    values = array_of("d", walk(source, count))
    for state in (first, second):
        with open(state / "walk.npy", "wb") as file:
            file.write(npy_head(count))
            values.tofile(file)
        for at in range(count // 3, count // 3 + 1000):
            values[at] += 1.0


def small_text(source):
    """A table of 1 to 50 KB, 7.5 KB on average."""
    count = min(25 + int(source.expovariate(1 / 140)), 1200)
    lines = (",".join(table_row(source, source.randrange(10**6))) for _ in range(count))
    return ("\n".join(lines) + "\n").encode()


def small(folder, source, scale):
    """Many small texts of 1 to 50 KB; in the second state one in twenty has changed."""
    count = int(20_000 * scale)
    texts = [small_text(source) for _ in range(count)]
    for state in ("01", "02"):
        for number, content in enumerate(texts):
            write_file(folder / state / f"part{number:05}.csv", content)
        for number in range(0, count, 20):
            texts[number] = texts[number].replace(b"Oslo", b"Bergen")


def noise(folder, source, scale):
    """Bytes that nothing makes smaller; one state."""
    write_file(folder / "01" / "noise.bin", source.randbytes(int((200 << 20) * scale)))


def real_data(real, part):
    path = real and real / part
    if not path or not path.exists():
        raise Missing("no real data (set ONENB_CORPUS)")
    return path


def versions(folder, real, stride):
    """Real states of real tables, side by side; state k holds the k-th of each."""
    parts = sorted(real_data(real, "versions").iterdir())
    tables = {path.name: sorted(path.iterdir()) for path in parts if path.is_dir()}
    for number in range(0, max(map(len, tables.values())), stride):
        for name, states in tables.items():
            state = states[min(number, len(states) - 1)]
            write_file(folder / f"{number + 1:02}" / (name + state.suffix), state.read_bytes())


def formats(folder, real, source, scale):
    """Two real tables as CSV, JSON, Parquet, Arrow, pickle and npy (numbers only), in six states: as read, with edited
    cells, inserted rows, deleted rows, a new column, appended rows."""
    flights, wells = (real_data(real, f"files/{name}") for name in ("flights-200k.arrow", "oil-and-gas.parquet"))
    try:
        import numpy
        import pandas
        import pyarrow
    except ImportError as error:
        raise Missing(f"{error.name} is not installed") from None

    def write(state, name, frame):
        def path(kind):
            return folder / state / f"{name}_{kind}.{kind}"

        path("csv").parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path("csv"), index=False)
        frame.to_json(path("json"), orient="records", date_format="iso")
        frame.to_parquet(path("parquet"), index=False)
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        with pyarrow.ipc.new_file(path("arrow"), table.schema) as file:
            file.write_table(table)
        frame.to_pickle(path("pickle"))
        numpy.save(path("npy"), frame.select_dtypes("number").to_numpy("float64"))

    for name, table in (("flights", pandas.read_feather(flights)), ("wells", pandas.read_parquet(wells))):
        for number, frame in enumerate(states_of(pandas, table, source, min(int(100_000 * scale), len(table) // 2)), 1):
            write(f"{number:02}", name, frame)


def states_of(pandas, table, source, count):
    """Yields the first rows of a table, then what becomes of them; rows that come in are later ones of the table."""
    few = count // 1000
    frame, rest = table[:count].reset_index(drop=True), table[count:]
    yield frame
    edited = next(name for name in frame.columns[1:] if pandas.api.types.is_numeric_dtype(frame[name]))
    at = sorted(source.sample(range(count), few))
    frame = frame.copy()
    frame.loc[at, edited] = rest[edited][:few].to_numpy()
    yield frame
    order = [*range(count), *(place + 0.5 for place in sorted(source.sample(range(count), 2 * few)))]
    frame = pandas.concat([frame, rest[few : 3 * few]]).set_axis(order).sort_index().reset_index(drop=True)
    yield frame
    start = len(frame) // 3
    frame = frame.drop(index=range(start, start + 5 * few)).reset_index(drop=True)
    yield frame
    # From each row alone, so that rows which come later have it too.
    most = table[edited].max()
    yield (frame := frame.assign(share=(frame[edited] / most).round(4)))
    later = rest[3 * few : 23 * few]
    yield pandas.concat([frame, later.assign(share=(later[edited] / most).round(4))], ignore_index=True)


def write_file(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def describe(folder, what, **more):
    states = sorted(path.name for path in folder.iterdir() if path.is_dir())
    sizes = {state: sum(file.stat().st_size for file in (folder / state).iterdir()) for state in states}
    about = {"what": " ".join(what.split()), "states": states, "raw_bytes": sizes, **more}
    about["files"] = len(list((folder / states[0]).iterdir()))
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print(f"{folder.name}: {len(states)} states, {sum(sizes.values()) / 1e6:.1f} MB")


GENERATED = {"table": table, "array": array, "small": small, "noise": noise, "big": big}


def make(name, arguments):
    """Makes one corpus and describes it."""
    folder, seed = arguments.out / name, f"{SEED} {name}"
    shutil.rmtree(folder, ignore_errors=True)
    if name == "versions":
        versions(folder, arguments.real, arguments.stride)
        return describe(folder, versions.__doc__, stride=arguments.stride)
    generate = functools.partial(formats, real=arguments.real) if name == "formats" else GENERATED[name]
    generate(folder, source=random.Random(seed), scale=arguments.scale)
    return describe(folder, getattr(generate, "func", generate).__doc__, seed=seed, scale=arguments.scale)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", default=["versions", "formats", *GENERATED])
    parser.add_argument("--real", type=pathlib.Path)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    for name in arguments.only:
        try:
            make(name, arguments)
        except Missing as why:
            print(f"{name}: skipped, {why}")


if __name__ == "__main__":
    main()
