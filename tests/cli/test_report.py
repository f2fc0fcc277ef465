"""``xsam-bench report`` on real runs, and on stored ones with hostile labels, in a folder with a hostile name."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tests.cli.conftest import LABEL
from tests.conftest import Bench
from tests.report.fixtures.make import HOSTILE, RESULTS
from xsam.store import read


def test_the_table_holds_the_means_of_the_stored_runs(stored: Bench) -> None:
    said = stored("report", "small", "--no-figures")
    runs = read(stored.results)
    for label in ("sgd", LABEL):
        values = np.array(runs[runs["optimizer"] == label]["test_accuracy_final"])
        assert len(values) == 3
        text = f"{values.mean():.2f} ± {values.std(ddof=1):.2f} (3)"
        for shown in (
            said,
            *((stored.folder / "reports" / "small" / f"table.{kind}").read_text() for kind in ("md", "html")),
        ):
            assert text in shown
    with (stored.folder / "reports" / "small" / "table.csv").open(encoding="utf-8") as file:
        rows = {row["optimizer"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"sgd", LABEL}
    assert abs(float(rows[LABEL]["mean"]) - values.mean()) <= 5e-7


def test_check_names_what_is_out_of_date(stored: Bench) -> None:
    stored("report", "--no-figures")
    table = stored.folder / "reports" / "small" / "table.md"
    assert stored("report", "--no-figures", "--check") == ""
    table.write_text("edited")
    assert stored("report", "--no-figures", "--check", status=1) == "out of date: reports/small/table.md\n"
    assert table.read_text() == "edited"


def test_hostile_labels_and_folders_are_shown_as_they_are(bench: Bench) -> None:
    out = Path("[red]out & <b>")
    said = bench("report", "--results", RESULTS, "--out", out, "--no-figures")
    assert f"in {out}/toy\n" in said
    assert HOSTILE in (bench.folder / out / "toy" / "table.html").read_text(encoding="utf-8")
    with (bench.folder / out / "toy" / "table.csv").open(encoding="utf-8") as file:
        assert HOSTILE in {row["optimizer"] for row in csv.DictReader(file)}


def test_mistakes_are_one_line_and_write_nothing(stored: Bench) -> None:
    (stored.folder / "values.yaml").write_text("published: [bold]\n")
    for arguments, message in {
        ("smal",): "did you mean 'small'?",
        ("--references", "values.yaml"): "values.yaml:1: a published value must be a mapping",
        ("--references", "nowhere.yaml"): "nowhere.yaml: cannot be read",
        ("--claims", "nowhere.yaml"): "nowhere.yaml: cannot be read",
    }.items():
        process = stored.start("report", *arguments)
        output, error = process.communicate(timeout=120)
        assert (process.returncode, output, error.count("\n")) == (2, "", 1), error
        assert message in error
    assert not (stored.folder / "reports").exists()


CLAIMS = f"""\
claims:
  - name: mine
    sentence: My method is better than SGD.
    source: a paper of mine
    estimand: test accuracy, mine minus SGD
    grids: [small]
    of: {{optimizer: {LABEL!r}}}
    with: {{optimizer: sgd}}
    ask: better
"""


def test_claims_of_ones_own_are_judged_and_others_are_not_shown(stored: Bench) -> None:
    stored("report", "--no-figures", "--no-page")
    assert "Claims" not in (stored.folder / "reports" / "README.md").read_text(), "the grid is nobody's claim"
    assert not (stored.folder / "reports" / "claims.csv").exists()
    (stored.folder / "mine.yaml").write_text(CLAIMS)
    stored("report", "--no-figures", "--no-page", "--claims", "mine.yaml")
    assert "My method is better than SGD." in (stored.folder / "reports" / "README.md").read_text()
    with (stored.folder / "reports" / "claims.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(one["claim"], one["part"], one["planned"]) for one in lines] == [
        ("mine", "claim", "1"),
        ("mine", "comparison", ""),
    ]
