"""A run's configuration: a tree of frozen dataclasses. Each task gives it the parts that are its own.

The same values are ``RunSpec.params``, by the parameters' names and without those that the run does not use: what is
hashed to the run's id, stored and shown.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from xsam.config import Config, Field
from xsam.optim.optimizer_config import OptimizerConfig
from xsam.parameters import ParameterError, Parameters

# With two ways to say one thing, whichever the user gave last counts.
ALTERNATIVES = (("epochs", "pass_budget"), ("warmup_epochs", "warmup_updates"))

PORTABLE = "portable"
SEEDS = "seeds"
# The word of a run's numerics where seeds are trained together, by the one that the grid gives.
VECTORISED = {"native": "vectorised", PORTABLE: "portable_vectorised"}

Schedule = Annotated[
    Literal["cosine", "constant", "multistep", "inverse_sqrt"],
    Field("learning rate over the epochs; inverse_sqrt: over the steps"),
]
WarmupUpdates = Annotated[int, Field("the same in steps, instead of warmup_epochs", at_least=0, omit_at_default=True)]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Config):
    """The training loop's parameters, which all tasks share."""

    epochs: Annotated[int, Field("passes over the training part", at_least=1)] = 30
    pass_budget: Annotated[
        int | None,
        Field(
            "instead of epochs: epochs = pass_budget / the method's forward-backward passes a step, rounded down",
            at_least=1,
            unset=True,
        ),
    ] = None
    max_updates: Annotated[
        int | None,
        Field(
            "end after this many steps, in mid-epoch too; the schedule stays that of all epochs",
            at_least=1,
            omit_at_default=True,
        ),
    ] = None
    schedule: Schedule = "cosine"
    milestones: Annotated[
        tuple[int, ...],
        Field(
            "multistep: when the rate is multiplied by decay_factor, in percent of the epochs",
            at_least=1,
            at_most=99,
            omit_at_default=True,
        ),
    ] = (50, 75)
    decay_factor: Annotated[
        float, Field("multistep: the factor at each milestone (gamma)", above=0, below=1, omit_at_default=True)
    ] = 0.1
    warmup_epochs: Annotated[
        int, Field("epochs in which the rate rises linearly to the schedule's", at_least=0, omit_at_default=True)
    ] = 0
    warmup_updates: WarmupUpdates = 0
    warmup_start: Annotated[
        float, Field("learning rate of the first step of the warm-up", at_least=0, omit_at_default=True)
    ] = 0.0
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"],
        Field(
            "of forward passes, evaluation too: float32 throughout; tf32 in a GPU's matrix products and convolutions; "
            "autocast to bf16, or fp16 with a gradient scaler",
            omit_at_default=True,
        ),
    ] = "fp32"
    compile: Annotated[
        bool, Field("torch.compile for the model, one graph for each shape of batch", omit_at_default=True)
    ] = False
    accumulation: Annotated[
        int, Field("parts in which a batch goes through the model", at_least=1, omit_at_default=True)
    ] = 1
    max_grad_norm: Annotated[float | None, Field("clip the update's gradient to this norm", above=0)] = None
    ema_decay: Annotated[
        float | None,
        Field(
            "evaluate an exponential moving average of the weights and BatchNorm statistics; null: none",
            above=0,
            below=1,
            omit_at_default=True,
        ),
    ] = None
    devices: Annotated[
        int, Field("processes that train one run, each on its share of a batch", at_least=1, omit_at_default=True)
    ] = 1
    threads: Annotated[int, Field("CPU threads of a run; they can change the last bits of a sum", at_least=1)] = 1
    numerics: Annotated[
        Literal["native", "portable", "vectorised", "portable_vectorised"],
        Field(
            "portable: on a CPU, with instructions that give the same bits on every x86-64 CPU with AVX2; slower; "
            "the two others come of vectorise",
            omit_at_default=True,
        ),
    ] = "native"
    vectorise: Annotated[
        Literal["none", "seeds"],
        Field(
            "seeds: a worker trains several seeds of a cell together, on a CPU; small models alone, faster",
            omit_at_default=True,
        ),
    ] = "none"

    @classmethod
    def of(cls, params: Parameters, **others: Any) -> Self:
        """See :meth:`Config.of`. A run has the one way to say its warm-up that was given, and the other is off."""
        first, second = "warmup_epochs", "warmup_updates"
        off = {one: 0 for one, other in ((first, second), (second, first)) if one not in params and other in params}
        return super().of({**params, **off}, **others)

    @property
    def warms_up(self) -> bool:
        """Whether there is a warm-up."""
        return bool(self.warmup_epochs or self.warmup_updates)

    def unused(self) -> frozenset[str]:
        """Names of parameters that make no difference to this run.

        >>> sorted(TrainingConfig(schedule="cosine").unused())
        ['decay_factor', 'milestones', 'warmup_start']
        """
        multistep = () if self.schedule == "multistep" else ("milestones", "decay_factor")
        return frozenset((*multistep, *(() if self.warms_up else ("warmup_start",))))

    def check(self) -> None:
        """Raise ``ParameterError`` for values that are each valid and do not go together.

        >>> TrainingConfig(milestones=(60, 30)).check()
        Traceback (most recent call last):
        ...
        xsam.parameters.ParameterError: milestones must rise, not [60, 30]
        """
        if self.schedule == "inverse_sqrt" and not self.warms_up:
            raise ParameterError(
                "schedule inverse_sqrt falls from the end of the warm-up: give warmup_updates or warmup_epochs",
                "schedule",
                "warmup_updates",
                "warmup_epochs",
            )
        if any(later <= earlier for earlier, later in itertools.pairwise(self.milestones)):
            raise ParameterError(f"milestones must rise, not {list(self.milestones)}", "milestones")
        self._check_vectorised()
        if self.portable and self.precision != "fp32":
            raise ParameterError(
                f"precision {self.precision} has kernels of each CPU's own: numerics portable needs fp32",
                "numerics",
                "precision",
            )
        if self.portable and self.compile:
            raise ParameterError(
                "compile makes code for the CPU that it runs on: leave it out, or set numerics native",
                "compile",
            )

    @property
    def vectorised(self) -> bool:
        """Whether seeds of this run's cell are trained together."""
        return self.vectorise == SEEDS

    @property
    def portable(self) -> bool:
        """Whether its bits are the same on every x86-64 CPU with AVX2."""
        return self.numerics in (PORTABLE, VECTORISED[PORTABLE])

    def _check_vectorised(self) -> None:
        if self.vectorised != (self.numerics in VECTORISED.values()):
            raise ParameterError(
                f"numerics {self.numerics} comes of 'vectorise: seeds', and of nothing else: leave it out",
                "numerics",
                "vectorise",
            )
        plain = {"precision": "fp32", "compile": False, "accumulation": 1, "devices": 1, "threads": 1}
        for name, value in plain.items():
            if self.vectorised and getattr(self, name) != value:
                raise ParameterError(
                    f"vectorise: seeds needs {name} {str(value).lower()}, not {getattr(self, name)}", "vectorise", name
                )

    def paid_by_budget(self, method: str, passes_per_step: Fraction) -> Self:
        """With the epochs that ``pass_budget`` pays for, where it has one.

        >>> TrainingConfig(pass_budget=100).paid_by_budget("sam", Fraction(3)).epochs
        33

        Raises ``ParameterError`` for a budget below the price of one epoch.
        """
        if self.pass_budget is None:
            return self
        epochs = int(self.pass_budget / passes_per_step)
        if not epochs:
            raise ParameterError(
                f"pass_budget {self.pass_budget} pays for no epoch of {method}, which takes"
                f" {float(passes_per_step):g} passes",
                "pass_budget",
            )
        return replace(self, epochs=epochs)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """One run. A task narrows the types of ``model``, ``data`` and ``training``, and may add parts of its own.

    Example:
        >>> RunConfig.of({"seed": 3, "epochs": 5}).training.epochs
        5
    """

    task: str = ""
    model: Config = field(default_factory=Config)
    data: Config = field(default_factory=Config)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: Annotated[int, Field("initial weights, data split, label noise and data order", at_least=0)] = 0
