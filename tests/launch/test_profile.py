"""Profiles: what they ask ``sbatch`` for, and how mistakes in them are answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from xsam.grid import GridError
from xsam.launch.profile import Profile, load_profile

PROFILES = Path(__file__).parents[2] / "slurm" / "profiles"


def load(folder: Path, text: str) -> Profile:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_profile(path)


def test_a_profile_says_what_sbatch_is_asked_for(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        "partition: gpu\naccount: abc\ntime: 1-02:30\ncpus: 8\nmem: 32G\ngpus: 4\ngpu_type: a100\nruns_per_job: 16\n"
        "setup: [module load python, 'export A=\"b c\"']\noptions: {exclude: n7, reservation: mine}\n",
    )
    assert profile.name == "mine"
    assert profile.sbatch() == {
        "partition": "gpu",
        "account": "abc",
        "time": 26 * 60 + 30,
        "nodes": 1,
        "ntasks-per-node": 1,
        "cpus-per-task": 8,
        "mem": "32G",
        "gpus-per-node": "a100:4",
        "requeue": True,
        "exclude": "n7",
        "reservation": "mine",
    }
    assert profile.setup == ("module load python", 'export A="b c"')
    assert profile.members == 4, "one run for each GPU"


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("02:00", 120), ("0:00:30", 1), ("1:00:01", 61), ("2-00:00", 2880)]
)
def test_times(tmp_path: Path, text: str, minutes: int) -> None:
    assert load(tmp_path, f"time: {text}\nwarn_seconds: 10\n").minutes == minutes


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_profiles_that_come_with_the_project_are_valid(path: Path) -> None:
    assert load_profile(path).name == path.stem


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("partion: gpu", "unknown key 'partion'; did you mean 'partition'?"),
        ("cpus: 0", "cpus must be at least 1, not 0"),
        ("cpus: two", "cpus must be a whole number, not 'two'"),
        ("mem: 4000", "mem must be a number with K, M, G or T, such as 4G, not 4000"),
        ("mem: lots", "mem must be a number with K, M, G or T, such as 4G, not 'lots'"),
        ("time: soon", "time must be minutes, HH:MM, HH:MM:SS or D-HH:MM, not 'soon'"),
        ("time: 0", "time must be minutes, HH:MM, HH:MM:SS or D-HH:MM, not 0"),
        ("warn_seconds: 3600", "warn_seconds must be below the time limit, 3600 s, not 3600"),
        ("copy_data: true", "copy_data needs scratch, the folder on the node that the data are copied to"),
        ("gpu_type: a100", "gpu_type needs gpus, their number"),
        ("setup: module load", "setup must be a list, not 'module load'"),
        ("setup: [1]", "a setup command must be one line of text, not 1"),
        ("options: {array: 0-3}", "the option 'array' is set by the launcher or has a key of its own"),
        ("options: {partition: gpu}", "the option 'partition' is set by the launcher or has a key of its own"),
        ("options: {exclusive: [1]}", "the option exclusive must be true, a number or a text, not [1]"),
    ],
)
def test_a_mistake_is_one_line_at_its_place(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(GridError) as caught:
        load(tmp_path, f"# the cluster\n{line}\n")
    assert str(caught.value) == f"{tmp_path / 'mine.yaml'}:2: {message}"
