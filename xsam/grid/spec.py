"""What one run is: the resolved parameters, and the id that they hash to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xsam.optim.optimizer_config import OptimizerConfig
from xsam.parameters import Parameters, Value
from xsam.tasks import get_task
from xsam.tasks.run_config import RunConfig

RUN_ID_DIGITS = 16


@dataclass(frozen=True)
class RunSpec:
    """One run of a grid.

    Attributes:
        task: ``"vision"`` or ``"translation"``.
        method: the optimizer's name in the registry (``"xsam"``).
        optimizer: the label under which tables show it (``"sgd_plus"``); it changes no number and is not in the id.
        params: every parameter that this run uses, resolved: task, base optimizer and method together, ``model``,
            ``dataset``, ``seed`` and ``threads`` included; parameters that the method does not use are absent.
        numerics: the task's ``NUMERICS``, raised by hand when the same spec gives other numbers than before.
        axes: where the run stands in the matrix: axis name → value in its parameter's type (``optimizer``: the label);
            axes that the run does not use are absent.
        hidden: parameters left out of the id because they stand at a default that came later.
        plugins: name → version of the plug-ins that the run uses; they are in the id.
        data: name → checksum of the data sets of one's own that the run uses; they are in the id.
    """

    task: str
    method: str
    optimizer: str
    params: Parameters
    numerics: int
    axes: Mapping[str, Value] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    plugins: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config(self) -> RunConfig:
        """The same values as a tree of typed fields; what ``params`` lacks has its default there."""
        task = get_task(self.task)
        config: RunConfig = task.config.of(
            self.params,
            task=self.task,
            optimizer=OptimizerConfig.of(self.method, self.params, task.bases, task.default_base),
        )
        return config

    @property
    def seed(self) -> int:
        """The run's seed."""
        seed = self.params["seed"]
        if not isinstance(seed, int):
            raise TypeError(f"a seed is a whole number, not {seed!r}")
        return seed

    @cached_property
    def run_id(self) -> str:
        """Hash of the canonical JSON of everything that can change this run's numbers, and of nothing else."""
        return _digest(self._canonical)

    @cached_property
    def cell(self) -> str:
        """What runs that differ in their seed alone have in common."""
        return "".join(self._around_seed)

    @cached_property
    def _canonical(self) -> str:
        params = {name: value for name, value in self.params.items() if name not in self.hidden}
        content = {"task": self.task, "method": self.method, "params": params, "numerics": self.numerics}
        return canonical_json({**content, **self._brought})

    @property
    def _brought(self) -> dict[str, dict[str, str]]:
        """What comes from elsewhere than this package, where anything does."""
        found = {"plugins": dict(self.plugins), "data": dict(self.data)}
        return {name: value for name, value in found.items() if value}

    def with_seed(self, seed: Value) -> RunSpec:
        """The same run at another value of the axis ``seed``.

        >>> run = RunSpec("vision", "sgd", "sgd", {"lr": 0.1, "seed": 0}, 1, {"seed": 0})
        >>> other = run.with_seed(7)
        >>> other.params["seed"], other.run_id == RunSpec("vision", "sgd", "sgd", {"lr": 0.1, "seed": 7}, 1).run_id
        (7, True)
        """
        params, axes = {**self.params, "seed": seed}, {**self.axes, "seed": seed}
        more = (self.hidden, self.plugins, self.data)
        other = RunSpec(self.task, self.method, self.optimizer, params, self.numerics, axes, *more)
        # Runs are planned by the ten thousand, and most of the price of one is to spell out what its seeds share.
        before, after = self._around_seed
        other.__dict__["run_id"] = _digest(f"{before}{canonical_json(seed)}{after}")
        return other

    @cached_property
    def _around_seed(self) -> tuple[str, str]:
        """The canonical JSON before and after the seed's value."""
        # Quotes within texts are escaped: only the key is spelled like this.
        before, key, after = self._canonical.partition('"seed":')
        return before + key, after.removeprefix(canonical_json(self.params["seed"]))

    def to_json(self) -> dict[str, Any]:
        """This run as ``grid.json`` and ``plan --json`` show it."""
        return {
            "run_id": self.run_id,
            "task": self.task,
            "method": self.method,
            "optimizer": self.optimizer,
            "params": _lists(self.params),
            "numerics": self.numerics,
            "axes": _lists(self.axes),
            "hidden": sorted(self.hidden),
            **self._brought,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        """The inverse of :meth:`to_json`; raises ``ValueError`` where the id does not fit the content."""
        spec = cls(
            task=data["task"],
            method=data["method"],
            optimizer=data["optimizer"],
            params=_tuples(data["params"]),
            numerics=data["numerics"],
            axes=_tuples(data["axes"]),
            hidden=frozenset(data["hidden"]),
            plugins=dict(data.get("plugins", {})),
            data=dict(data.get("data", {})),
        )
        if spec.run_id != data["run_id"]:
            raise ValueError(f"run {data['run_id']} was changed by hand: its content has the id {spec.run_id}")
        return spec


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_ID_DIGITS]


def canonical_json(content: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
