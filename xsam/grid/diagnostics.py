"""The block ``diagnostics:`` of a grid file: which measurements of sharpness its runs make, when, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from xsam.grid.source import Node, check_keys
from xsam.grid.spec import RunSpec
from xsam.parameters import Parameter

MEASUREMENTS = ("hessian", "density", "measures", "directions", "alpha", "planes")
# Pictures of one place, which nothing compares over the epochs: of the weights after the last epoch alone.
_ONCE = ("density", "planes")
# Begins the names of measures of which a run has several, for directions and numbers of ascent steps to be compared.
PER_DIRECTION = "direction/"

PARAMETERS: Mapping[str, Parameter] = {
    "measure": Parameter("names", (), choices=MEASUREMENTS, help="what is measured"),
    "every": Parameter(
        "int",
        None,
        at_least=1,
        nullable=True,
        help="epochs between measurements (density and planes: at the end alone); null: at the end",
    ),
    "batches": Parameter("int", 8, at_least=1, help="training batches that the loss is the mean of"),
    "eigenvalues": Parameter("int", 5, at_least=1, help="eigenvalues that hessian looks for"),
    "samples": Parameter("int", 30, at_least=2, help="random vectors for the trace, and directions for measures"),
    "rho": Parameter("float", 0.05, above=0, help="radius of the ascent"),
    "probe_radius": Parameter("float", None, above=0, nullable=True, help="where directions compare; null: 2 rho"),
    "ascent_steps": Parameter("ints", (1, 2, 3, 5), at_least=1, help="the k that directions and alpha look at"),
    "steps": Parameter("int", 4, at_least=1, help="training steps whose directions are compared"),
}


@dataclass(frozen=True)
class Diagnostics:
    """Measurements of sharpness; they change no number of a run, so they are not in its id.

    Attributes:
        measure: of ``MEASUREMENTS``, in that order.
        every: epochs between measurements, the last epoch always among them; None: after the last epoch alone, as
            density and planes always.
        batches: how many of the first epoch's batches the measured loss is the mean of; all that there are at most.
        eigenvalues, samples, rho, probe_radius, ascent_steps, steps: see ``PARAMETERS``.
    """

    measure: tuple[str, ...]
    every: int | None
    batches: int
    eigenvalues: int
    samples: int
    rho: float
    probe_radius: float | None
    ascent_steps: tuple[int, ...]
    steps: int

    @property
    def radius(self) -> float:
        """The probe radius."""
        return 2 * self.rho if self.probe_radius is None else self.probe_radius

    def due(self, epoch: int, last: bool) -> Diagnostics | None:
        """What to measure after the 0-based ``epoch``; None: nothing."""
        if last:
            return self
        repeated = tuple(name for name in self.measure if name not in _ONCE)
        if not repeated or self.every is None or (epoch + 1) % self.every:
            return None
        return replace(self, measure=repeated)

    def to_json(self) -> dict[str, Any]:
        """As ``grid.json`` holds it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Diagnostics:
        """From values by name, others at their defaults; raises ``ValueError`` for one that is not valid.

        >>> Diagnostics.from_values({"measure": ["hessian"], "rho": 0.1}).radius
        0.2
        """
        typed = {name: parameter.parse(name, values.get(name, parameter.default)) for name, parameter in _TABLE}
        asked = cast(tuple[str, ...], typed["measure"])
        if not asked:
            raise ValueError(f"measure names nothing; valid: {', '.join(MEASUREMENTS)}")
        return cls(**{**typed, "measure": tuple(name for name in MEASUREMENTS if name in asked)})  # type: ignore[arg-type]


_TABLE = tuple(PARAMETERS.items())


def diagnostics_of(node: Node, runs: Iterable[RunSpec]) -> Diagnostics:
    """The block ``diagnostics`` of a grid with ``runs``: a list of measurements, or ``measure`` and options.

    Raises ``GridError`` at the first mistake; where several processes train a run, which do not measure together.
    """
    if any(run.config.training.devices != 1 for run in runs):
        raise node.place.error("diagnostics need devices 1; for the others use 'xsam-bench sharpness' afterwards")
    entries = node.value if isinstance(node.value, dict) else {"measure": node}
    check_keys(entries, PARAMETERS, "key of diagnostics")
    for name, item in entries.items():
        try:
            PARAMETERS[name].parse(name, item.plain())
        except ValueError as error:
            raise item.place.error(str(error)) from None
    try:
        return Diagnostics.from_values({name: item.plain() for name, item in entries.items()})
    except ValueError as error:
        raise node.place.error(str(error)) from None
