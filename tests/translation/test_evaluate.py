"""Finished runs on further test sets and on one's own text: the command, on a model that the test has trained."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import Bench
from tests.translation.conftest import write_pairs
from xsam.cli.main import app
from xsam.cli.terminal import BadInput
from xsam.report.write import write_report
from xsam.store import compact, read
from xsam.store.layout import GridFolder
from xsam.tasks.translation.text import read_lines

pytestmark = [pytest.mark.slow, pytest.mark.fairseq]

GRID = """
name: toy
task: translation
matrix: {model: [transformer], dataset: [parallel_text], optimizer: [adam, sam], seed: [0]}
params: {bpe_merges: 40, embed_dim: 32, ffn_dim: 64, heads: 2, layers: 1, max_tokens: 400,
         dropout: 0.0, epochs: 3, lr: 5.0e-3, warmup_updates: 30, average_last: 2, test_subset: 50, valid_subset: 20}
overrides: [{when: {optimizer: sam}, params: {rho: 0.02}}]
report: {rule: best_val, compare: [{of: sam, with: adam}]}
keep_checkpoints: true
"""
METRICS = ("bleu", "sacrebleu", "chrf")


class Trained:
    """A results folder with one finished run, and the verbs on it in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = read(folder / "results").set_index("optimizer", drop=False)
        self.row, self.other = rows.loc["adam"], rows.loc["sam"]
        self.run_id = str(self.row["run_id"])
        self.outputs = folder / "results" / "toy" / "outputs" / self.run_id

    def __call__(self, verb: str, *arguments: str, text: str = "") -> Result:
        places = ["--results", str(self.folder / "results"), "--data", str(self.folder / "data")]
        found = CliRunner().invoke(app, [verb, self.run_id[:8], *arguments, *places], input=text)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    def table(self):
        rows = read(self.folder / "results", "evaluations")
        rows = rows[rows["run_id"] == self.run_id]
        return {(one.test_set, one.weights, one.metric): one.value for one in rows.itertuples()}


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    bench = Bench(tmp_path_factory.mktemp("trained"))
    shutil.copytree(data_dir, bench.folder / "data")
    bench("run", bench.write_grid(GRID), "--jobs", 1)
    return Trained(bench.folder)


def test_the_runs_own_test_set_has_the_scores_of_its_row(trained):
    before = {path.name: path.read_bytes() for path in trained.outputs.iterdir()}
    shown = trained("evaluate", "--on", "test", "--json")
    (found,) = json.loads(shown.stdout)
    assert found["run_id"] == trained.run_id
    assert {row["examples"] for row in found["rows"]} == {50}
    table = trained.table()
    for rule in ("final", "best_val"):
        for metric in METRICS:
            assert table["test", rule, metric] == trained.row[f"test_{metric}_{rule}"]
    assert {name: (trained.outputs / name).read_bytes() for name in before} == before


def test_files_of_ones_own_are_evaluated_and_kept_beside_the_others(trained, texts, tmp_path):
    # The whole prepared test set as files: subwords made on the fly are those that were prepared.
    pairs = list(zip(*(read_lines(texts / f"test.{language}") for language in ("de", "en")), strict=True))
    write_pairs(tmp_path, "mine", pairs[:30])
    trained("evaluate", "--on", "valid")
    trained("evaluate", "--on", str(tmp_path / "mine"))
    trained("evaluate", "--on", f"{tmp_path / 'mine.de'},{tmp_path / 'mine.en'}")
    table = trained.table()
    names = {name for name, _, _ in table if name.startswith("mine@")}
    assert len(names) == 1
    assert {name for name, _, _ in table} >= {"valid", *names}
    rows = read(trained.folder / "results", "evaluations")
    assert rows.loc[rows["metric"] != "chrf", "signature"].str.contains("case:lc").all()
    assert compact(GridFolder(trained.folder / "results", "toy")) == 2
    assert not list((trained.folder / "results").glob("toy/evaluations/*"))
    assert trained.table() == table
    write_report(trained.folder / "results", tmp_path / "reports", figures=False, page=False)
    report = (tmp_path / "reports" / "toy" / "table.md").read_text(encoding="utf-8")
    assert "Further test sets" in report
    assert f"{table['valid', 'final', 'bleu']:.2f}" in report
    assert "parallel_text,adam" in (tmp_path / "reports" / "toy" / "evaluations.csv").read_text(encoding="utf-8")


def test_runs_that_the_grid_compares_are_compared_by_the_paired_bootstrap(trained, tmp_path):
    trained("evaluate", "--on", "test", "--on", "valid")
    assert "bleu_difference" not in set(read(trained.folder / "results", "evaluations")["metric"])
    shown = trained("evaluate", str(trained.other["run_id"]), "--on", "test").stdout  # both runs, once more
    assert "paired bootstrap" in shown
    rows = read(trained.folder / "results", "evaluations")
    found = rows[rows["metric"] == "bleu_difference"].set_index("weights")
    assert set(found["run_id"]) == {trained.other["run_id"]}
    assert len(found) == 2
    for rule in ("final", "best_val"):
        expected = trained.other[f"test_bleu_{rule}"] - trained.row[f"test_bleu_{rule}"]
        assert found.loc[rule, "value"] == pytest.approx(expected)
        details = json.loads(found.loc[rule, "details"])
        assert 0 < details["p"] <= 1
        assert (details["with"], details["optimizer"]) == (trained.run_id, "adam")
        assert "bs:1000" in found.loc[rule, "signature"]
    write_report(trained.folder / "results", tmp_path / "reports", figures=False, page=False)
    report = (tmp_path / "reports" / "toy" / "table.md").read_text(encoding="utf-8")
    assert "## Paired bootstrap" in report
    assert "too few seeds" in report.partition("## Paired bootstrap")[2]
    assert "difference" not in (tmp_path / "reports" / "toy" / "evaluations.csv").read_text(encoding="utf-8")


def test_text_is_translated_as_it_comes(trained, texts):
    source = read_lines(texts / "test.de")[:20]
    lines = [*source[:3], "", *source[3:]]
    text = "".join(f"{line}\n" for line in lines)
    whole = trained("translate", "--beam", "5", text=text).stdout.split("\n")[:-1]
    assert len(whole) == len(lines)
    assert whole[3] == ""
    single = trained("translate", "-", "--batch", "1", text=text).stdout.split("\n")[:-1]
    assert len(single) == len(lines)
    same = sum(one == other for one, other in zip(whole, single, strict=True))
    assert same >= 0.7 * len(lines)  # sums in another order may tip ties, of which such a small model has many
    assert "@@" not in "".join(whole)
    shorter = trained("translate", "--weights", "final", "--length-penalty", "-5", text=text).stdout
    assert shorter.count("\n") == len(lines)


def test_translations_of_the_test_set_are_those_of_the_run(trained, texts, tmp_path):
    whole = read_lines(texts / "test.de")
    (tmp_path / "all.de").write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    found = trained("translate", str(tmp_path / "all.de"), "--batch", "200").stdout.split("\n")[:-1]
    mine = set(read_lines(trained.outputs / "best_val.en"))
    assert len(mine & set(found)) >= 0.7 * len(mine)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "--on", "tset"), "no test set 'tset' on disk; did you mean 'test'"),
        (("evaluate", "--on", "nowhere/mine"), "no files nowhere/mine.de and nowhere/mine.en"),
        (("translate", "--weights", "best"), "--weights best: there are final and best_val"),
        (("translate", "no-such-file"), "no-such-file"),
    ],
)
def test_mistakes_are_one_line(trained, arguments, message):
    with pytest.raises(BadInput) as caught:
        trained(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_read_line_by_line():
    from xsam.cli.evaluate import _batches

    source = io.StringIO("a\nb\n\nc")
    batches = _batches(source, 2)
    assert next(batches) == ["a", "b"]
    assert source.read() == "\nc"  # nothing is read ahead
