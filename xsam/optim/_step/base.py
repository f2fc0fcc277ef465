"""What all sharpness-aware optimizers share: one step of a method's passes, counted, and the options of all of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from xsam.optim._step import foreach
from xsam.optim._step.buffers import Buffers
from xsam.optim._step.checks import check_base
from xsam.optim._step.declare import Declared, option
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.hooks import step_base, step_of_optimizer
from xsam.optim._step.objective import Objective
from xsam.optim._step.passes import Passes, clear_gradients
from xsam.optim._step.precision import LossScale, Overflow
from xsam.optim._step.shards import Shards, hand_up
from xsam.optim._step.two_calls import OpenStep, TwoCalls
from xsam.optim._step.weights import Weights
from xsam.optim._step.wrapper import OptimizerWrapper


class SharpnessAware(TwoCalls, Declared, OptimizerWrapper):
    """A built base optimizer, stepped with a gradient that a method computes in one or several passes.

    A ``torch.optim.Optimizer`` in its own right: it shares ``param_groups``, ``state`` and ``defaults`` with the base,
    so learning rate schedulers attach to either. A method implements :meth:`_update`.

    All buffers (BatchNorm's statistics and counters among them) end each step as one plain forward would leave them,
    however many passes it takes. They are those of ``model`` or, where none is named, of the modules that the closure
    calls. Naming it saves a hook on every call of a module, and a step that fails then leaves no trace from the first.

    With a ``grad_scaler``, for float16 under autocast, every pass's loss is scaled, and its gradient unscaled and
    checked. If one is not finite, the step ends there without the base's step: weights and the method's own state stay,
    and buffers are as one plain forward leaves them. ``step`` itself updates the scaler, once, so do not call its
    ``step`` or ``update``, and give each optimizer one of its own. Its state is yours to save. Each pass waits for the
    device.

    ``perturbation`` is about a model in ``DistributedDataParallel`` (DDP), each process on a batch of its own.
    ``"global"``: DDP averages the gradients of every pass, and a step is that of one process on all batches together.
    ``"local"`` (m-sharpness, Foret et al., section 4.1): no pass is synchronised, every process forms an update from
    its own gradients, and these are averaged once; needs DDP in ``model``.

    Where ``torch.distributed`` is set up, all processes (of DDP's group, where ``model`` holds DDP) are taken to train
    one model, with equal shares of the data: they average probed losses, so all make the same choices, and skip a step
    together. Give ``model`` the DDP module rather than what it wraps: then accumulation communicates once a pass.

    Parameters that ``fully_shard`` (FSDP2) has sharded are stepped with the norms of the whole, by the methods that
    remember nothing of single parameters (SAM, ASAM, GSAM, FisherSAM, StableSAM, LESAM, GAM and XSAM); give ``model``.

    ``sam_start`` and ``sam_until`` keep the method to a part of the training, as Zhou, Wang, Mao, Li & Yan, "Sharpness-
    Aware Minimization Efficiently Selects Flatter Minima Late In Training", ICLR 2025, arXiv 2410.10373, do. A step
    outside it costs one forward and backward pass, and leaves what a method remembers as it is.

    Several optimizers may share parameters, as in torch: each of them leaves the weights where its step took them. A
    step within another's closure is an error.

    Attributes:
        base_optimizer: the base.
        taken: steps taken so far, skipped ones not among them.
        forwards, backwards: passes run so far. A pass over several closures (accumulation) counts once.
        skipped: steps that ended with an overflow under a GradScaler.
        last_output: what the closure returned beside the loss in the last step's first pass: ``logits`` where it
            returns ``(loss, logits)``, without their graph. No part of a saved state.

    Raises:
        TypeError: something that is no optimizer, model or scaler in its place.
        ValueError: a value out of its range.
    """

    _works_on_parts: ClassVar[bool] = False  # whether all it does is elementwise, but for norms and inner products

    base: InitVar[Optimizer] = option(
        kw_only=False, grid=False, help="a built torch optimizer whose ``step()`` needs no closure"
    )
    model: nn.Module | None = option(
        default=None, grid=False, help="whose buffers are kept; None: those of the modules that the closure calls"
    )
    rng: Literal["shared", "fresh"] = option(
        default="shared",
        help="dropout masks: ``shared``, the same torch random state in all passes of a step, or ``fresh``, new ones",
    )
    grad_scaler: GradScaler | None = option(default=None, grid=False, help="for float16 under autocast")
    max_grad_norm: float | None = option(
        default=None,
        grid=False,
        above=0,
        help="clip the update's gradient to this norm, as ``torch.nn.utils.clip_grad_norm_`` does",
    )
    perturbation: Literal["global", "local"] = option(
        default="global", grid=False, help="of several processes: ``global``, all of their batches', or ``local``"
    )

    def __init__(self, *positional: Any, **named: Any) -> None:
        if positional:  # before anything else: whoever gives parameters gives other things that do not fit either
            check_base(positional[0], SharpnessAware, type(self).__name__)
        super().__init__(*positional, **named)

    sam_start: int = option(
        default=0,
        at_least=0,
        grid=False,
        help="the first step, counted from 0, at which the method is active; before it the base steps alone",
    )
    sam_until: int | None = option(
        default=None, at_least=1, grid=False, help="the first step at which it no longer is; None: it stays"
    )

    def _prepare(self) -> None:
        base = self.__dict__.pop("base")
        check_base(base, SharpnessAware, type(self).__name__)
        if not isinstance(self.model, nn.Module | None):
            raise TypeError(f"model must be a torch.nn.Module or None, not {type(self.model).__name__}")
        if not isinstance(self.grad_scaler, GradScaler | None):
            raise TypeError(
                f"grad_scaler must be a torch.amp.GradScaler or None, not {type(self.grad_scaler).__name__}"
            )
        # Optimizer.__init__ would set up groups and state of its own; __setstate__ sets up the hooks alone.
        super().__setstate__({"base_optimizer": base})
        Replicas(self.model, self.perturbation)  # raises where they do not fit together
        if self.sam_until is not None and self.sam_until <= self.sam_start:
            raise ValueError(f"sam_until must be above sam_start ({self.sam_start}), not {self.sam_until}")
        self.taken = 0
        self._open = None
        self.forwards = 0
        self.backwards = 0
        self.skipped = 0
        self._weights = Weights()
        self.last_output: Any = None
        self._buffers = Buffers()
        self._shards = Shards()

    @abstractmethod
    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        """Run the method's passes; leave the update's gradient in ``.grad`` and the weights where they were.

        Any pass may end the step with an exception, so state of the method's own changes after the last one.

        Args:
            passes: evaluates the loss and its gradient.
            parameters: all that require a gradient.

        Returns:
            The first pass's loss.
        """

    @step_of_optimizer
    def step(  # type: ignore[override]  # closures return tensors and may be several; torch's one returns a number
        self,
        closure: Callable[[], Any] | Sequence[Callable[[], Any]] | None = None,
        weights: Sequence[float] | None = None,
    ) -> Tensor:
        """One step on one fixed batch. Afterwards ``.grad`` holds the gradient that the base optimizer was given.

        After a step that a GradScaler had skipped, every ``.grad`` is None.
        If the closure raises, parameters and the model's buffers are back where they were, bit for bit, ``.grad`` is
        None, and the exception goes on.

        Args:
            closure: required; returns the batch's scalar loss, without running backward, or a tuple of that and
                anything more, which ``last_output`` keeps; called once for each pass. A list of closures accumulates:
                the loss is the weighted mean of theirs, and backward runs after each.
            weights: of a list's closures, in proportion (numbers of examples, say); None: equal.

        Returns:
            The loss of the first pass, without its graph; of several processes' this one's own.

        Raises:
            TypeError: no closure, a loss that is not a tensor, or a sparse gradient.
            ValueError: a loss that is not a scalar, weights that do not fit, or no trainable parameter.
            RuntimeError: the closure ran backward, or its loss has no graph.
        """
        if self._open is not None:
            raise RuntimeError("a step is under way: finish it with descend(), or drop it with abandon()")
        objective = Objective(closure, weights)
        everything = [parameter for group in self.param_groups for parameter in group["params"]]
        parameters = [parameter for parameter in everything if parameter.requires_grad]
        if not parameters:
            raise ValueError("no parameter of the optimizer requires a gradient")
        if len(parameters) < len(everything):  # a frozen parameter's old gradient must not reach the base
            clear_gradients(everything)
        replicas = Replicas.now(self.model, self.perturbation)
        scale = LossScale.of_step(self.grad_scaler, replicas)
        parts = self._shards.of(parameters)
        if parts is not parameters:
            self._check_sharded()
        passes = Passes(
            objective,
            parameters,
            self._weights,
            self._buffers,
            self.model,
            self.rng,
            scale=scale,
            replicas=replicas,
            parts=parts,
        )
        update = self._update_now()
        try:
            with passes:
                if parts is parameters:
                    loss = update(passes, parameters)
                else:
                    with foreach.parts_of_all(self._shards.group):
                        loss = update(passes, parts)
                        self._clip_update(parts)
                        hand_up(parameters, parts)
        except Overflow:
            assert passes.first_loss is not None
            loss = passes.first_loss
            self.skipped += 1
        else:
            self._finish(parameters, replicas)
        self._count(passes.forwards, passes.backwards)
        self.last_output = passes.first_output
        return loss

    def _opened(self) -> OpenStep:
        parameters = [each for group in self.param_groups for each in group["params"] if each.requires_grad]
        if all(parameter.grad is None for parameter in parameters):
            raise RuntimeError("ascend() takes gradients: run backward() before it")
        if self._shards.of(parameters) is not parameters:
            raise RuntimeError("ascend() and descend() know whole parameters alone: sharded ones need step(closure)")
        replicas = Replicas(self.model, self.perturbation)
        if replicas.local:
            raise RuntimeError(
                'ascend() has no say in what the loop synchronises: perturbation="local" needs step(closure)'
            )
        if self._open is None:
            scale = LossScale(self.grad_scaler, replicas)
            self._open = OpenStep(parameters, self._weights, self._buffers, self.model, scale, replicas)
        return self._open

    def _end(self, opened: OpenStep) -> None:
        if opened.overflowed:
            self.skipped += 1
        else:
            self._finish(opened.parameters, Replicas(self.model, self.perturbation))
        clear_gradients(opened.parameters)
        opened.scale.update()
        self._count(opened.passes + opened.probes, opened.passes)

    def _check_sharded(self) -> None:
        if not self._works_on_parts:
            raise RuntimeError(
                f"{type(self).__name__} is not written for sharded parameters: use DistributedDataParallel"
            )
        if self.model is None:
            raise RuntimeError("sharded parameters need model=, whose modules gather them anew when they have moved")

    def _update_now(self) -> Callable[[Passes, Tensors], Tensor]:
        """The method's update, or the base's where the method is not active."""
        until = math.inf if self.sam_until is None else self.sam_until
        return self._update if self.sam_start <= self.taken < until else _plain_update

    def _finish(self, parameters: Tensors, replicas: Replicas) -> None:
        if self._update_now() is _plain_update:
            SharpnessAware._descend(self, parameters, replicas)
        else:
            self._descend(parameters, replicas)
        self.taken += 1

    def _count(self, forwards: int, backwards: int) -> None:
        self.forwards += forwards
        self.backwards += backwards

    def _descend(self, parameters: Tensors, replicas: Replicas) -> None:
        """Step the base with the gradients in ``.grad``: averaged where each process forms its own, and clipped.

        A method whose step is not over with that goes on here.
        """
        replicas.average_gradients(parameters)
        if self._shards.group is None:
            self._clip_update(parameters)
        step_base(self.base_optimizer)

    def _clip_update(self, parameters: Tensors) -> None:
        """Clip what the base steps with; a method that has clipped the gradients it is made of leaves it as it is."""
        self._clip(parameters)

    def _clip(self, parameters: Tensors) -> None:
        """Clip ``.grad`` to ``max_grad_norm``, if there is one."""
        if self.max_grad_norm is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if gradients:
            foreach.scale_(gradients, (self.max_grad_norm / (foreach.norm(gradients) + 1e-6)).clamp(max=1.0))

    def _check_savable(self) -> None:
        if self._open is not None:
            raise RuntimeError("a step is under way, and its weights are moved: save a state after descend()")

    def _own_state(self) -> dict[str, Any]:
        """The counts of passes and steps; see :meth:`OptimizerWrapper._own_state`."""
        return {
            "forwards": self.forwards,
            "backwards": self.backwards,
            "skipped": self.skipped,
            "taken": self.taken,
        }

    def _added_state(self, own: Mapping[str, Any]) -> dict[str, Any]:
        return {"taken": 0}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        self.forwards = own["forwards"]
        self.backwards = own["backwards"]
        self.skipped = own["skipped"]
        self.taken = own["taken"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "last_output"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"last_output": None, **state})

    def __repr__(self) -> str:
        own = {name: getattr(self, name) for name, each in self._options.items() if each.parameter is not None}
        shown = [
            f"{name}={value!r}"
            for name, value in own.items()
            if name not in self._shared or value != self._options[name].default
        ]
        return f"{type(self).__name__}({', '.join([*shown, f'base={self.base_optimizer!r}'])})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            if name in ("first_step", "second_step"):
                raise AttributeError(
                    f"{kind} has no {name}(): call step(closure), or in a loop that runs backward itself ascend() and "
                    "descend()"
                )
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def _plain_update(passes: Passes, parameters: Tensors) -> Tensor:
    return passes.gradient()
