"""The passes of one optimizer step: every evaluation of the closure, under one random state and one set of buffers."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from xsam.optim._step.buffers import Buffers
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.objective import Objective
from xsam.optim._step.precision import LossScale, Overflow
from xsam.optim._step.shards import hand_down, reshard
from xsam.optim._step.weights import Weights

Rng = Literal["shared", "fresh"]
RandomState = tuple[Tensor, Tensor | None]


class Passes:
    """The passes of one step, as a context.

    The first pass is a plain forward. Each later one sees the random state that the first one saw (``rng="shared"``)
    and the buffers that it left, and changes neither: after the step both are as one plain forward would leave them.
    Where an exception leaves the context, weights and buffers are put back to where they were when it was entered.
    After an overflow the weights are, and buffers and random state are as one plain forward leaves them.

    Args:
        objective: the loss.
        parameters: the trainable parameters, whose gradients are computed.
        weights: which the method saves, moves for its passes, and restores after the last one.
        buffers: memory for copies of the model's buffers.
        model: whose buffers (BatchNorm's running statistics and counters, and all others) are kept; None: those of the
            modules that the passes call.
        rng: ``"shared"``: every pass replays torch's random state (CPU, and the parameters' CUDA device) of the first;
            ``"fresh"``: random numbers go on from pass to pass.
        scale: of the loss.
        replicas: the processes that train the model.
        parts: of the parameters that this process holds, which get the gradients, where the parameters are sharded.

    Attributes:
        first_loss: of the first pass; None before it.
        first_output: what the closure returned beside it.
        forwards, backwards: passes run so far.
    """

    def __init__(
        self,
        objective: Objective,
        parameters: Tensors,
        weights: Weights,
        buffers: Buffers,
        model: nn.Module | None,
        rng: Rng,
        scale: LossScale,
        replicas: Replicas,
        parts: Tensors | None = None,
    ) -> None:
        self.weights = weights
        self.first_loss: Tensor | None = None
        self.first_output: Any = None
        self.forwards = 0
        self.backwards = 0
        self._objective = objective
        self._parameters = parameters
        self._buffers = buffers
        self._model = model
        self._shared = rng == "shared"
        self._scale = scale
        self._replicas = replicas
        self._parts = parameters if parts is None else parts
        device = parameters[0].device
        self._cuda = device if device.type == "cuda" else None
        self._random_before: RandomState | None = None
        self._random_after: RandomState | None = None

    def __enter__(self) -> Self:
        self._buffers.start(self._model)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.weights.restore()
            clear_gradients(self._parameters)
            clear_gradients(self._parts)
        if kind is None or kind is Overflow:
            if self._random_after is not None:
                self._set_random_state(self._random_after)
            self._scale.update()
        else:
            self._buffers.roll_back()
            self._scale.forget()
        self.weights.release()
        if self._parts is not self._parameters:
            reshard(self._model)
        self._replicas.leave_as_after_training()
        # What the last pass left there is of weights that have moved.
        torch.clear_autocast_cache()

    def gradient(self) -> Tensor:
        """Leave the gradient at the current weights in ``.grad`` (None where there is none); return the loss.

        Raises:
            Overflow: with a GradScaler, the gradient is not finite.
            RuntimeError: the closure ran backward itself, or its loss has no graph.
            TypeError: a gradient is sparse.
        """
        clear_gradients(self._parameters)
        self._begin()
        if self.forwards == 0 and self._buffers.looking:
            with self._buffers.meeting(self._parameters):
                loss = self._backward()
        else:
            loss = self._backward()
        for parameter in self._parameters:
            gradient = parameter.grad
            if gradient is not None and gradient.layout is not torch.strided:
                raise TypeError("sparse gradients have no sharpness-aware step: build the embedding with sparse=False")
        if self._parts is not self._parameters:
            hand_down(self._parameters, self._parts)
        self._end()
        self.backwards += 1
        if self.first_loss is None:
            self.first_loss = loss
            self.first_output = self._objective.output
        self._scale.unscale_(self._parts)
        return loss

    def _backward(self) -> Tensor:
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(True)  # the context torch.enable_grad() takes as long as an operation
        try:
            return self._objective.backward(self._parameters, self._scale, self._replicas)
        finally:
            torch._C._set_grad_enabled(before)

    def probe(self) -> float:
        """The loss at the current weights as a number, without gradients; waits for the device.

        It is the mean of all replicas' losses, the same number on each of them.
        """
        self._begin()
        loss = self._objective.value()
        self._end()
        return self._replicas.mean(loss, self._parameters[0].device)

    def same_for_all(self, number: int) -> int:
        """The number that the first of the replicas has; at most 53 bits."""
        return self._replicas.of_first(number, self._parameters[0].device)

    def _begin(self) -> None:
        # Autocast keeps 16-bit copies of the weights, and those have moved.
        torch.clear_autocast_cache()
        if self._parts is not self._parameters:
            reshard(self._model)
        if self.forwards == 1:
            self._buffers.keep()
        if not self._shared:
            return
        if self.forwards == 0:
            self._random_before = self._random_state()
            return
        if self.forwards == 1:
            self._random_after = self._random_state()
        if self._random_before is not None:
            self._set_random_state(self._random_before)

    def _end(self) -> None:
        self.forwards += 1
        if self.forwards > 1:
            self._buffers.restore()

    def _random_state(self) -> RandomState:
        cuda = None if self._cuda is None else torch.cuda.get_rng_state(self._cuda)
        return torch.default_generator.get_state(), cuda

    def _set_random_state(self, state: RandomState) -> None:
        cpu, cuda = state
        torch.default_generator.set_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self._parameters[0].device)


def clear_gradients(parameters: Tensors) -> None:
    """Set every ``.grad`` to None."""
    for parameter in parameters:
        parameter.grad = None
