"""For those who add a method: the classes to inherit from, and what they give.

    class MySAM(AscentMethod):
        shrink: float = option(default=1.0, above=0, help="factor of the update")

        def _update(self, passes, parameters):
            loss = ascend(passes, parameters, self.rho, 1).loss     # two passes; the weights are now at theta + e
            passes.weights.restore()                                # back to theta; .grad is that of theta + e
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(self.shrink)
            return loss

What a method must do, in ``_update(passes, parameters)``:

- call ``passes.gradient()`` at least once (it leaves the gradient at the current weights in ``.grad``), or
  :func:`ascend`, which does and moves the weights; ``passes.probe()`` is a loss alone;
- move weights only through ``passes.weights`` (``save``, ``move``, ``restore``), and end with ``restore()``;
- leave the update's gradient in ``.grad``, None for a parameter that took no part, and return the first pass's loss;
- keep what a later step needs in ``_own_state`` and ``_load_own_state`` (each calls ``super()`` first), and change it
  only after the last pass, since any pass may end the step with an exception;
- read no number from the device (no ``item()``): :func:`norm`, :func:`divisor` and the like stay on it.

What it gets for nothing: closures of every form, weights, buffers and random state put back after an exception,
BatchNorm as after one plain forward, shared dropout masks, accumulation, GradScaler, clipping, DDP, schedulers, saved
and resumed state, ``sam_start`` and ``sam_until``, the counts of passes; and, as a plug-in, parameters and checks in
grids, columns, and a part in reports. ``xsam.testing.check_method(MySAM)`` looks at all of it.
"""

from __future__ import annotations

from xsam.optim._step.ascent import Ascent as Ascent
from xsam.optim._step.ascent import AscentMethod as AscentMethod
from xsam.optim._step.ascent import MultiStepMethod as MultiStepMethod
from xsam.optim._step.ascent import ascend as ascend
from xsam.optim._step.base import SharpnessAware as SharpnessAware
from xsam.optim._step.declare import option as option
from xsam.optim._step.foreach import Tensors as Tensors
from xsam.optim._step.foreach import divisor as divisor
from xsam.optim._step.foreach import norm as norm
from xsam.optim._step.passes import Passes as Passes

__all__ = [
    "Ascent",
    "AscentMethod",
    "MultiStepMethod",
    "Passes",
    "SharpnessAware",
    "Tensors",
    "ascend",
    "divisor",
    "norm",
    "option",
]
