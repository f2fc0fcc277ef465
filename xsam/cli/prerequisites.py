"""What runs need of this machine, looked at before they are trained or measured: their data, numerics and device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xsam.cli import named, terminal
from xsam.cli.devices import check_device
from xsam.cli.terminal import BadInput
from xsam.grid import RunSpec
from xsam.runner import numerics
from xsam.tasks import DataMissing, own
from xsam.tasks.data import data_sets, require


def check_numerics(runs: Sequence[RunSpec], device: str, here: bool = True) -> None:
    """Refuse runs with a setting of ``numerics`` that ``device``, or the CPU where they train ``here``, cannot keep."""
    with terminal.bad_input(numerics.NotPortable):
        for setting in {one.config.training.numerics for one in runs}:
            if here:
                numerics.check(setting, device)
            else:
                numerics.check(setting, device, "x86_64", numerics.NEEDED)
    check_device(device, here)


def enter_numerics(runs: Sequence[RunSpec], device: str) -> None:
    """Bring this process to the one setting of ``numerics`` that ``runs`` have, before it loads torch."""
    settings = {numerics.instructions(one.config.training.numerics) for one in runs}
    if len(settings) > 1:
        raise BadInput(
            "some of these runs have portable numerics and some native, and one process has one of them: "
            "choose those with numerics=native first"
        )
    check_numerics(runs, device)
    with terminal.bad_input(numerics.NotPortable):
        for setting in settings:
            numerics.enter(setting)


def check_data(runs: Sequence[RunSpec], data: Path) -> None:
    """Say what is missing before a hundred runs fail of it."""
    named.refuse_file(data, "--data")
    own.enter(data)
    with terminal.bad_input(DataMissing, own.OwnDataChanged):
        for one in {tuple(run.data.items()) for run in runs if run.data}:
            own.check(dict(one), data)
    for name in sorted(data_sets(run.params for run in runs)):
        with terminal.bad_input(DataMissing):
            require(name, data)
