"""SAMON: sharpness-aware minimization that perturbs normalisation layers alone."""

from __future__ import annotations

from torch import Tensor, nn

from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class SAMON(AscentMethod):
    """SAM-ON ("only norm"): the perturbation moves the normalisation layers' weights and biases, and nothing else.

    With g the gradient at the weights, n its part for normalisation layers and zero elsewhere, the base optimizer steps
    all parameters with the gradient at

        theta + rho n / ||n||

    Mueller, Vlaar, Rolnick & Hein, "Normalization Layers Are All That Sharpness-Aware Minimization Needs", NeurIPS
    2023, arXiv 2306.04226, here on plain SAM. A step costs two forward and backward passes; memory: one copy of the
    parameters.

    The authors' code takes every parameter with "norm" or "bn" in its name for one of a normalisation layer; here it is
    the parameters of modules with "norm" in the name of their class, which ``model`` therefore has to be given for.

    Raises:
        ValueError: a value out of its range, no model, or one without a normalisation layer that has parameters.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
        >>> optimizer = SAMON(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.5, model=model)
        >>> loss = optimizer.step(lambda: model(torch.randn(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    rho: float = option(
        default=0.5,
        kw_only=False,
        at_least=0,
        help="radius in the units of the weights; useful values are larger than those of SAM. May be changed at any "
        "time",
    )

    def _prepare(self) -> None:
        super()._prepare()
        if self.model is None:
            raise ValueError("SAMON perturbs normalisation layers, and needs model= to know them")
        if not normalisation_parameters(self.model):
            raise ValueError("SAMON perturbs normalisation layers, and the model has none with parameters")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        assert self.model is not None
        loss = ascend(passes, parameters, self.rho, 1, moving=normalisation_parameters(self.model)).loss
        passes.weights.restore()
        return loss


def normalisation_parameters(model: nn.Module) -> Tensors:
    """The trainable parameters of all modules whose class is named after normalisation."""
    layers = [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    return [each for layer in layers for each in layer.parameters(recurse=False) if each.requires_grad]
