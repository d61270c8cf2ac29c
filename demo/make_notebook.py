"""Writes the demo's notebook. `--version 2` writes it as its author changed it after the first tag."""

import argparse

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = "gamma = 0.001\nwidth = 8"

SETUP = """\
import os, pathlib, pickle
import numpy as np, pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

originals = pathlib.Path(os.environ["DEMO_ORIGINALS"]) / f"gamma={gamma}"
originals.mkdir(parents=True, exist_ok=True)

digits = load_digits(as_frame=True)
table = digits.frame{change}
train, test = train_test_split(table, test_size=0.5, shuffle=False)
model = SVC(gamma=gamma).fit(train.drop(columns="target").to_numpy(), train["target"])
predicted = model.predict(test.drop(columns="target").to_numpy())
print("accuracy", (predicted == test["target"]).mean().round(4))"""

DECLARE = """\
p1 = dict(gamma=gamma, width=width)
from OneNB.exports import Digits
from OneNB.exports._p1 import Predictions, SupportVectors, Model"""

EXPORT = """\
with Digits.open(suffix=".parquet") as f:
    table.to_parquet(f)
table.to_parquet(originals / "Digits.parquet")

result = test.assign(predicted=predicted)
with Predictions.open(suffix=".csv") as f:
    result.to_csv(f, index=False)
result.to_csv(originals / "Predictions.csv", index=False)

with SupportVectors.open(suffix=".npy") as f:
    np.save(f, model.support_vectors_)
np.save(originals / "SupportVectors.npy", model.support_vectors_)

with Model.open(suffix=".pkl") as f:
    pickle.dump(model, f)
with open(originals / "Model.pkl", "wb") as f:
    pickle.dump(model, f)"""


def notebook(version: int) -> nbformat.NotebookNode:
    change = "" if version == 1 else "\ntable = table[table.index % 50 != 0]  # drop a few samples"
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [
        new_markdown_cell("# Handwritten digits\nTrains a classifier and exports what the next notebook needs."),
        parameters,
        new_code_cell(SETUP.replace("{change}", change)),
        new_code_cell(DECLARE),
        new_code_cell(EXPORT),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--version", type=int, default=1)
    arguments.add_argument("out")
    chosen = arguments.parse_args()
    nbformat.write(notebook(chosen.version), chosen.out)
