"""The optimizer's part of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

from xsam.optim import pass_counts, registry
from xsam.optim.bases import BASES, Base
from xsam.optim.registry import METHODS
from xsam.parameters import Parameters, Value, real, whole


@dataclass(frozen=True)
class OptimizerConfig:
    """A method, its base, and the parameters of both, in their types.

    Which parameters there are is the method's matter and the base's; what planning and training themselves have to
    know of them are the properties.

    Attributes:
        method: a name in ``xsam.optim.registry.METHODS``.
        base: a name of a base optimizer.
        params: the values of all parameters of both, by name; those that are newer than the run have their default.
    """

    method: str = "sgd"
    base: str = "sgd"
    params: Parameters = field(default_factory=dict)

    @classmethod
    def of(cls, method: str, params: Parameters, bases: Mapping[str, Base] = BASES, default_base: str = "sgd") -> Self:
        """From a run's parameters, whose other entries are ignored.

        Args:
            method: a name in ``METHODS``.
            params: the parameters; what is absent has its default.
            bases: what the names of base optimizers mean.
            default_base: the base of a method that names none.

        >>> optimizer = OptimizerConfig.of("xsam", {"base": "sgd", "lr": 0.1, "rho": 0.05, "epochs": 3})
        >>> optimizer.lr, optimizer.ascent_steps, optimizer.searches_each_epoch, "epochs" in optimizer.params
        (0.1, 1, True, False)
        """
        base = METHODS[method].alone or str(params.get("base", default_base))
        table = registry.parameters_of(method, base, bases)
        own: dict[str, Value] = {name: each.default for name, each in table.items() if not each.unset}
        return cls(method, base, {**own, **{name: params[name] for name in table if name in params}})

    @property
    def lr(self) -> float:
        """The peak learning rate."""
        return real(self.params["lr"])

    @property
    def ascent_steps(self) -> int:
        """Ascent steps k; 1 for a method without a choice."""
        return whole(self.params.get("ascent_steps", 1))

    @property
    def search_every(self) -> int | None:
        """Steps between alpha searches, where the run has them at such an interval."""
        every = self.params.get("search_every")
        return None if every is None else whole(every)

    @property
    def searches(self) -> bool:
        """Whether the run ever searches for alpha."""
        return pass_counts.searches(self.params)

    @property
    def searches_each_epoch(self) -> bool:
        """Whether the training loop asks for an alpha search at the start of every epoch (the paper's schedule)."""
        return pass_counts.searches_each_epoch(self.params)

    @property
    def passes_per_step(self) -> Fraction:
        """See :func:`xsam.optim.pass_counts.passes_per_step`."""
        return pass_counts.passes_per_step(self.method, self.params)
