"""The block ``diagnostics:`` of a grid file: which measurements of sharpness its runs make, when, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from xsam.config import Config, Field
from xsam.grid.source import Node, check_keys
from xsam.grid.spec import RunSpec
from xsam.parameters import Parameter, ParameterError, Value
from xsam.plugins.kinds import DIAGNOSTICS, MEASUREMENTS

# Pictures of one place, which nothing compares over the epochs: of the weights after the last epoch alone.
_ONCE = ("density", "planes")
# Begins the names of measures of which a run has several, for directions and numbers of ascent steps to be compared.
PER_DIRECTION = "direction/"


@dataclass(frozen=True, kw_only=True)
class Diagnostics(Config):
    """Measurements of sharpness; they change no number of a run, so they are not in its id.

    The last epoch is always among those after which is measured; density and planes are looked at after it alone. The
    loss is the mean of the first epoch's first ``batches``, all that there are at most.
    """

    measure: Annotated[tuple[str, ...], Field("what is measured")] = ()
    every: Annotated[
        int | None,
        Field("epochs between measurements (density and planes: at the end alone); null: at the end", at_least=1),
    ] = None
    batches: Annotated[int, Field("training batches that the loss is the mean of", at_least=1)] = 8
    eigenvalues: Annotated[int, Field("eigenvalues that hessian looks for", at_least=1)] = 5
    samples: Annotated[int, Field("random vectors for the trace, and directions for measures", at_least=2)] = 30
    rho: Annotated[float, Field("radius of the ascent", above=0)] = 0.05
    probe_radius: Annotated[float | None, Field("where directions compare; null: 2 rho", above=0)] = None
    ascent_steps: Annotated[tuple[int, ...], Field("the k of directions and alpha", at_least=1)] = (1, 2, 3, 5)
    steps: Annotated[int, Field("training steps whose directions are compared", at_least=1)] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.measure:
            raise ParameterError(f"measure names nothing; valid: {', '.join(_known())}", "measure")
        in_order = tuple(name for name in MEASUREMENTS if name in self.measure)
        others = tuple(name for name in self.measure if name not in MEASUREMENTS)
        object.__setattr__(self, "measure", (*in_order, *others))

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """See :meth:`Config.parameters`: with the measurements of plug-ins."""
        own = dict(super().parameters())
        return {**own, "measure": replace(own["measure"], choices=_known())}

    @property
    def plugins(self) -> frozenset[str]:
        """The plug-ins whose measurements these are."""
        return frozenset(owner for name in self.measure if (owner := DIAGNOSTICS.owner(name)))

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


def _known() -> tuple[str, ...]:
    return (*MEASUREMENTS, *DIAGNOSTICS)


def diagnostics_of(node: Node, runs: Iterable[RunSpec]) -> Diagnostics:
    """The block ``diagnostics`` of a grid with ``runs``: a list of measurements, or ``measure`` and options.

    Raises ``GridError`` at the first mistake; where several processes train a run, which do not measure together.
    """
    if any(run.config.training.devices != 1 for run in runs):
        raise node.place.error("diagnostics need devices 1; for the others use 'xsam-bench sharpness' afterwards")
    entries = node.value if isinstance(node.value, dict) else {"measure": node}
    known = Diagnostics.parameters()
    check_keys(entries, known, "key of diagnostics")
    values: dict[str, Value] = {}
    for name, item in entries.items():
        try:
            values[name] = known[name].parse(name, item.plain())
        except ParameterError as error:
            raise item.place.error(str(error)) from None
    try:
        return Diagnostics.of(values)
    except ParameterError as error:
        raise node.place.error(str(error)) from None
