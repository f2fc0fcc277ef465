"""The exact text of every form of the tables, for a grid in which everything has gone wrong once."""

# ruff: noqa: E501
from collections.abc import Callable
from io import StringIO
from typing import Any

import pandas as pd
from rich.console import Console

from xsam.grid.grid import Grid
from xsam.report.analysis import Analysis, analyse
from xsam.report.csv_tables import cost_csv, differences_csv, table_csv
from xsam.report.formats import markdown, markdown_table
from xsam.report.sections import means, sheets
from xsam.report.terminal import show


def page_of(analysis: Analysis) -> str:
    return markdown(sheets(analysis))


def table_of(analysis: Analysis) -> str:
    return markdown_table(means(analysis))


PAGE = """\
# toy

| model    | ascent_steps |                               sgd |                                  sam |                             xsam |
| -------- | ------------ | --------------------------------: | -----------------------------------: | -------------------------------: |
| mlp      | 1            |                  81.00 ± 1.00 (3) |                     83.17 ± 0.76 (3) | 84.50 ± 0.71 (2 of 3), 1 missing |
| mlp      | 2            |                  81.00 ± 1.00 (3) | 90.00 (1 of 3), 1 diverged, 1 failed |            2 diverged, 1 missing |
| res\\|net | 1            | 70.25 ± 0.35 (2 of 3), 1 no value |                             3 failed |                                  |
| res\\|net | 2            | 70.25 ± 0.35 (2 of 3), 1 no value |                              missing |                                  |

- Metric: test_accuracy_final, in percent; higher is better.
- Columns: optimizer.
- Cells: mean ± sample standard deviation over seeds (number of seeds, and of how many where some are not there). Of a row's complete cells with at least 3 seeds the best mean is bold, with those that it is not decided to be better than (paired by seed, Holm); none where it is better than no other.
- Planned: seeds 0–2.
- An empty cell is not part of the grid.
- Diverged: mlp / 2, sam: seed 1.
- Diverged: mlp / 2, xsam: seeds 0, 1.
- Failed: mlp / 2, sam: seed 2.
- Failed: res\\|net / 1, sam: seeds 0–2.
- Missing: mlp / 1, xsam: seed 1.
- Missing: mlp / 2, xsam: seed 2.
- Missing: res\\|net / 2, sam: seeds 0–2.
- No value: res\\|net / 1, sgd: seed 2.
- No value: res\\|net / 2, sgd: seed 2.
- Not in this grid, and not counted: feedfeedfeedfeed.

## Difference to sgd (exploratory)

| model    | ascent_steps |                              sam |                          xsam |
| -------- | ------------ | -------------------------------: | ----------------------------: |
| mlp      | 1            | +2.17 [+0.27, +4.06] (3), better | +3.50, too few seeds (2 of 3) |
| mlp      | 2            |   +10.00, too few seeds (1 of 3) |                      no pairs |
| res\\|net | 1            |                         no pairs |                               |
| res\\|net | 2            |                         no pairs |                               |

- Exploratory: mean difference, paired by seed, with its 95% t interval (number of pairs), and what it shows by itself at the level 0.05. Only declared comparisons are adjusted for their number.

## Tests (exploratory)

| model    | ascent_steps | optimizer | baseline | difference |   95% interval |     p | ranks | sign flips | BCa | detectable |  pairs |                                                verdict |
| -------- | ------------ | --------- | -------- | ---------: | -------------: | ----: | ----: | ---------: | --: | ---------: | -----: | -----------------------------------------------------: |
| mlp      | 1            | sam       | sgd      |      +2.17 | [+0.27, +4.06] | 0.039 |       |            |     |       2.49 |      3 |                                                 better |
| mlp      | 1            | xsam      | sgd      |      +3.50 |                |       |       |            |     |            | 2 of 3 |                                          too few seeds |
| mlp      | 2            | sam       | sgd      |     +10.00 |                |       | 0.500 |            |     |            | 1 of 3 |     undecided by ranks (2 of ours, 0 of theirs failed) |
| mlp      | 2            | xsam      | sgd      |            |                |       | 0.500 |            |     |            | 0 of 3 | too few seeds by ranks (2 of ours, 0 of theirs failed) |
| res\\|net | 1            | sam       | sgd      |            |                |       | 0.500 |            |     |            | 0 of 3 | too few seeds by ranks (3 of ours, 0 of theirs failed) |
| res\\|net | 2            | sam       | sgd      |            |                |       |       |            |     |            | 0 of 3 |                                          too few seeds |

- p: paired t test; ranks: signed-rank test with failed runs as the worst, where there are any; sign flips: exact p under all changes of sign, from 6 pairs; BCa: bootstrap interval, from 10 pairs. None of them is adjusted for the number of exploratory comparisons.
- Detectable: the smallest true difference that this number of pairs, with the spread seen, shows in 80% of such experiments at the level 0.05.

## Over all rows

| optimizer | win/tie/loss | mean rank |
| --------- | -----------: | --------: |
| sgd       |        0/0/0 |      2.00 |
| sam       |        1/3/0 |      1.00 |
| xsam      |        0/2/0 |           |

- Win/tie/loss: rows in which the column is better than sgd, neither (undecided, equivalent, or without enough seeds), or worse.
- Mean rank: 1 is the best mean of a row; rows in which every ranked column is complete: 1.

## Cost

| model    | ascent_steps | optimizer |   runs | test_accuracy_final | forwards | backwards | wall seconds | peak MiB | backwards / sgd | seconds / sgd | backwards / sam | seconds / sam |
| -------- | ------------ | --------- | -----: | ------------------: | -------: | --------: | -----------: | -------: | --------------: | ------------: | --------------: | ------------: |
| mlp      | 1            | sgd       |      3 |               81.00 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |            1.00 |          1.00 |
| mlp      | 1            | sam       |      3 |               83.17 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |            1.00 |          1.00 |
| mlp      | 1            | xsam      | 2 of 3 |               84.50 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |            1.00 |          1.00 |
| mlp      | 2            | sgd       |      3 |               81.00 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |            1.00 |          1.00 |
| mlp      | 2            | sam       | 1 of 3 |               90.00 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |            1.00 |          1.00 |
| mlp      | 2            | xsam      | 0 of 3 |                     |          |           |              |          |                 |               |                 |               |
| res\\|net | 1            | sgd       |      3 |               70.25 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |                 |               |
| res\\|net | 1            | sam       | 0 of 3 |                     |          |           |              |          |                 |               |                 |               |
| res\\|net | 2            | sgd       |      3 |               70.25 |     1000 |       500 |         2.50 |      3.0 |            1.00 |          1.00 |                 |               |
| res\\|net | 2            | sam       | 0 of 3 |                     |          |           |              |          |                 |               |                 |               |

- Means over the done runs of a cell.
- Not compute-matched: a column's runs may have made more passes than another's.
"""

TABLE_CSV = """\
model,ascent_steps,optimizer,metric,rule,mean,std,median,n,expected,diverged,failed,missing,no_value,min,max,final,last5_mean,best_val,best_test
mlp,1,sgd,test_accuracy,final,81,1,81,3,3,0,0,0,0,80,82,81,,,
mlp,1,sam,test_accuracy,final,83.166667,0.76376262,83,3,3,0,0,0,0,82.5,84,83.166667,,,
mlp,1,xsam,test_accuracy,final,84.5,0.70710678,84.5,2,3,0,0,1,0,84,85,84.5,,,
mlp,2,sgd,test_accuracy,final,81,1,81,3,3,0,0,0,0,80,82,81,,,
mlp,2,sam,test_accuracy,final,90,,90,1,3,1,1,0,0,90,90,90,,,
mlp,2,xsam,test_accuracy,final,,,,0,3,2,0,1,0,,,,,,
res|net,1,sgd,test_accuracy,final,70.25,0.35355339,70.25,2,3,0,0,0,1,70,70.5,70.25,,,
res|net,1,sam,test_accuracy,final,,,,0,3,0,3,0,0,,,,,,
res|net,2,sgd,test_accuracy,final,70.25,0.35355339,70.25,2,3,0,0,0,1,70,70.5,70.25,,,
res|net,2,sam,test_accuracy,final,,,,0,3,0,0,3,0,,,,,,
"""

DIFFERENCES_CSV = """\
model,ascent_steps,optimizer,reference,kind,metric,rule,difference,low,high,confidence,n,expected,failed,reference_failed,p,rank_p,sign_flip_p,bca_low,bca_high,detectable,family_low,family_high,p_holm,margin,seeds_needed,verdict
mlp,1,sam,sgd,exploratory,test_accuracy,final,2.1666667,0.26937515,4.0639582,0.95,3,3,0,0,0.039012348,,,,,2.4929544,,,,,,better
mlp,1,xsam,sgd,exploratory,test_accuracy,final,3.5,,,0.95,2,3,0,0,,,,,,,,,,,,too few seeds
mlp,2,sam,sgd,exploratory,test_accuracy,final,10,,,0.95,1,3,2,0,,0.5,,,,,,,,,,undecided
mlp,2,xsam,sgd,exploratory,test_accuracy,final,,,,0.95,0,3,2,0,,0.5,,,,,,,,,,too few seeds
res|net,1,sam,sgd,exploratory,test_accuracy,final,,,,0.95,0,3,3,0,,0.5,,,,,,,,,,too few seeds
res|net,2,sam,sgd,exploratory,test_accuracy,final,,,,0.95,0,3,0,0,,,,,,,,,,,,too few seeds
"""

COST_CSV = """\
model,ascent_steps,optimizer,n,forwards,backwards,wall_seconds,peak_memory_bytes,forwards_over_sgd,backwards_over_sgd,wall_seconds_over_sgd,peak_memory_bytes_over_sgd,forwards_over_sam,backwards_over_sam,wall_seconds_over_sam,peak_memory_bytes_over_sam
mlp,1,sgd,3,1000,500,2.5,3145728,1,1,1,1,1,1,1,1
mlp,1,sam,3,1000,500,2.5,3145728,1,1,1,1,1,1,1,1
mlp,1,xsam,2,1000,500,2.5,3145728,1,1,1,1,1,1,1,1
mlp,2,sgd,3,1000,500,2.5,3145728,1,1,1,1,1,1,1,1
mlp,2,sam,1,1000,500,2.5,3145728,1,1,1,1,1,1,1,1
mlp,2,xsam,0,,,,,,,,,,,,
res|net,1,sgd,3,1000,500,2.5,3145728,1,1,1,1,,,,
res|net,1,sam,0,,,,,,,,,,,,
res|net,2,sgd,3,1000,500,2.5,3145728,1,1,1,1,,,,
res|net,2,sam,0,,,,,,,,,,,,
"""

SMALL = r"""
|          a\*b\`c |          x\<y, z / 1 |           [bold] / 1 |         w\\n / 1 |
| ---------------: | -------------------: | -------------------: | ---------------: |
| 90.00 ± 0.00 (3) | **95.00 ± 0.00 (3)** | **95.00 ± 0.00 (3)** | 80.00 ± 0.00 (3) |
"""

SMALL_CSV = """\
optimizer,k,metric,rule,mean,std,median,n,expected,diverged,failed,missing,no_value,min,max,final,last5_mean,best_val,best_test
a*b`c,,test_accuracy,final,90,0,90,3,3,0,0,0,0,90,90,90,,,
"x<y, z",1,test_accuracy,final,95.001,0,95.001,3,3,0,0,0,0,95.001,95.001,95.001,,,
[bold],1,test_accuracy,final,95,0,95,3,3,0,0,0,0,95,95,95,,,
w\\n,1,test_accuracy,final,80,0,80,3,3,0,0,0,0,80,80,80,,,
"""


def test_the_markdown_page(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    assert page_of(analyse(grid, grid.report, frame)) == PAGE


def test_the_csv_files(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    analysis = analyse(grid, grid.report, frame)
    assert table_csv(analysis.table) == TABLE_CSV
    assert differences_csv(analysis) == DIFFERENCES_CSV
    assert cost_csv(analysis.table) == COST_CSV


def test_the_order_of_the_rows_changes_no_byte(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    for order in (frame.sort_values("run_id"), frame.sort_values("run_id", ascending=False)):
        analysis = analyse(grid, grid.report, order)
        assert page_of(analysis) == PAGE
        assert table_csv(analysis.table) == TABLE_CSV


def small(
    make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]], metric: str = "test_accuracy"
) -> Any:
    """Three seeds; no row axes; labels that Markdown, CSV or rich could take for their own."""
    labels = ("a*b`c", "x<y, z", "[bold]", "w\\n")
    runs = [(label, "sam", {"k": 1} if place else {}) for place, label in enumerate(labels)]
    grid = make_grid(runs, {"optimizer": labels, "k": (1,)}, (), ("optimizer", "k"), seeds=3, metric=metric)
    values = (90.0, 95.001, 95.0, 80.0)
    rows = [make_row(run.run_id, "done", values[place // 3]) for place, run in enumerate(grid.runs)]
    return analyse(grid, grid.report, pd.DataFrame(rows))


def test_labels_are_escaped_and_equal_means_are_bold_together(
    make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]
) -> None:
    analysis = small(make_grid, make_row)
    assert table_of(analysis) == SMALL.strip()
    assert "\n- –: an axis that the method does not use.\n" in page_of(analysis)
    assert table_csv(analysis.table) == SMALL_CSV


def test_of_losses_the_lowest_is_best_and_has_four_decimals(
    make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]
) -> None:
    line = table_of(small(make_grid, make_row, "test_loss_final")).splitlines()[-1]
    assert [text.strip() for text in line.strip("|").split("|")] == [
        *("0.1000 ± 0.0000 (3)", "**0.0500 ± 0.0000 (3)**", "**0.0500 ± 0.0000 (3)**", "0.2000 ± 0.0000 (3)")
    ]
    page = page_of(small(make_grid, make_row, "test_loss_final"))
    assert "- Metric: test_loss_final; lower is better.\n" in page
    assert "-0.0500 [-0.0500, -0.0500] (3), better" in page


def test_a_terminal_gets_a_drawn_table_and_a_pipe_plain_lines(
    multi_step: tuple[Grid, pd.DataFrame], make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]
) -> None:
    grid, frame = multi_step
    plain = StringIO()
    show(Console(file=plain, width=40), analyse(grid, grid.report, frame))
    assert plain.getvalue() == "toy: test_accuracy_final\n" + PAGE.split("\n\n")[1] + "\n"
    drawn = StringIO()
    show(Console(file=drawn, width=160, force_terminal=True, color_system=None), small(make_grid, make_row))
    assert "│" in drawn.getvalue()
    assert "[bold] / 1" in drawn.getvalue()
    assert "95.00 ± 0.00 (3)" in drawn.getvalue()
