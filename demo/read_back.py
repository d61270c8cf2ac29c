"""Reads every export of both tags with `from OneNB.i.digits.v1 import ..` and compares it with its original."""

import pathlib
import pickle
import sys

import numpy as np
import pandas as pd


def read_tag(tag: str, gamma: float) -> dict:
    p1 = dict(gamma=gamma, width=8)  # named by the imports below
    scope: dict = {"p1": p1}
    exec(f"from OneNB.i.digits.{tag} import Digits", scope)
    exec(f"from OneNB.i.digits.{tag}._p1 import Predictions, SupportVectors, Model", scope)
    return {
        "Digits.parquet": scope["Digits"],
        "Predictions.csv": scope["Predictions"],
        "SupportVectors.npy": scope["SupportVectors"],
        "Model.pkl": scope["Model"],
    }


def main(originals: pathlib.Path) -> None:
    compared = 0
    for tag in ("v1", "v2"):
        for folder in sorted((originals / tag).iterdir()):
            gamma = float(folder.name.removeprefix("gamma="))
            exports = read_tag(tag, gamma)
            # One parquet for all parameter sets: every run of a tag writes the same table.
            for name, export in exports.items():
                assert bytes(export) == (folder / name).read_bytes(), f"{tag} {folder.name} {name} differs"
                compared += 1
            rows = len(pd.read_csv(exports["Predictions.csv"].reader()))
            table = pd.read_parquet(exports["Digits.parquet"].reader(), columns=["target"])
            vectors = np.load(exports["SupportVectors.npy"].reader())
            model = pickle.load(exports["Model.pkl"].reader())
            shapes = f"{rows} predictions, {len(table)} digits, {vectors.shape} vectors, {type(model).__name__}"
            print(f"  {tag} gamma={gamma}: {shapes}")
    print(f"  {compared} exports are identical to their originals")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
