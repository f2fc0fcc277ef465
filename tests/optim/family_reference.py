"""The family of methods written down a second time, plainly: flat float64 vectors, copies of the model, Python loops.

Shares no code with ``xsam``. Each class makes one step on one batch with :class:`~tests.optim.reference.SGD` as base; a
pass but the first runs on a deep copy of the model, so the model's own buffers see the first pass alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.optim.reference import SGD, Loss, flat, unit, write


@dataclass
class Reference:
    model: nn.Module
    base: SGD
    rho: float

    def step(self, loss: Loss) -> None:
        self.loss = loss
        self.passes = 0
        write(self.model, self.new_weights(flat(self.model.parameters())))

    def new_weights(self, weights: Tensor) -> Tensor:
        raise NotImplementedError

    def gradient(self, point: Tensor) -> Tensor:
        model = self.model if self.passes == 0 else copy.deepcopy(self.model)
        self.passes += 1
        write(model, point)
        return flat(torch.autograd.grad(self.loss(model), list(model.parameters())))


@dataclass
class ASAM(Reference):
    steps: int = 1
    eta: float = 0.01

    def new_weights(self, weights):
        point = weights
        for _ in range(self.steps):
            gradient = self.gradient(point)
            scale = point.abs() + self.eta
            point = point + self.rho / self.steps * scale**2 * gradient / (scale * gradient).norm()
        return self.base.step(weights, self.gradient(point))


@dataclass
class FisherSAM(Reference):
    steps: int = 1
    eta: float = 1.0

    def new_weights(self, weights):
        point = weights
        for _ in range(self.steps):
            gradient = self.gradient(point)
            metric = 1 + self.eta * gradient**2
            step = gradient / metric
            point = point + self.rho / self.steps * step / torch.sqrt(step @ (metric * step))
        return self.base.step(weights, self.gradient(point))


@dataclass
class GSAM(Reference):
    weight: float = 0.4

    def new_weights(self, weights):
        local = self.gradient(weights)
        perturbed = self.gradient(weights + self.rho * unit(local))
        parallel = (local @ unit(perturbed)) * unit(perturbed)
        return self.base.step(weights, perturbed - self.weight * (local - parallel))


@dataclass
class WSAM(Reference):
    gamma: float = 0.9
    decouple: bool = True

    def new_weights(self, weights):
        local = self.gradient(weights)
        perturbed = self.gradient(weights + self.rho * unit(local))
        if not self.decouple:
            # The paper's form of the regularised gradient.
            mixed = (self.gamma * perturbed + (1 - 2 * self.gamma) * local) / (1 - self.gamma)
            return self.base.step(weights, mixed)
        sharpness = self.gamma / (1 - self.gamma) * (perturbed - local)
        return self.base.step(weights, local) - self.base.lr * sharpness


@dataclass
class LookSAM(Reference):
    every: int = 5
    strength: float = 0.7
    count: int = 0

    def new_weights(self, weights):
        local = self.gradient(weights)
        if self.count % self.every == 0:
            update = self.gradient(weights + self.rho * unit(local))
            cosine = unit(local) @ unit(update)
            self.kept = update - update.norm() * cosine * unit(local)
        else:
            update = local + self.strength * local.norm() / self.kept.norm() * self.kept
        self.count += 1
        return self.base.step(weights, update)


@dataclass
class FriendlySAM(Reference):
    sigma: float = 1.0
    decay: float = 0.9
    average: Tensor | None = None

    def new_weights(self, weights):
        local = self.gradient(weights)
        noise = local if self.average is None else local - self.sigma * self.average
        self.average = local if self.average is None else self.decay * self.average + (1 - self.decay) * local
        return self.base.step(weights, self.gradient(weights + self.rho * unit(noise)))


@dataclass
class FriendlySAMOfTheText(Reference):
    """As the paper writes it: the average that is left out has taken the gradient in."""

    decay: float = 0.9
    average: Tensor | None = None

    def new_weights(self, weights):
        local = self.gradient(weights)
        if self.average is None:
            self.average, noise = local, local
        else:
            self.average = self.decay * self.average + (1 - self.decay) * local
            noise = local - self.average
        return self.base.step(weights, self.gradient(weights + self.rho * unit(noise)))


@dataclass
class StableSAM(Reference):
    steps: int = 1

    def new_weights(self, weights):
        point, first = weights, None
        for _ in range(self.steps):
            gradient = self.gradient(point)
            first = gradient.norm() if first is None else first
            point = point + self.rho / self.steps * unit(gradient)
        return self.base.step(weights, first * unit(self.gradient(point)))


@dataclass
class LESAM(Reference):
    sigma: float = 0.35

    def new_weights(self, weights):
        local = self.gradient(weights)
        radius = min(self.sigma / float(local.norm()), self.rho)
        return self.base.step(weights, self.gradient(weights + radius * unit(local)))


@dataclass
class SAMON(Reference):
    def new_weights(self, weights):
        named = self.model.named_parameters()
        chosen = torch.cat([torch.full((p.numel(),), float(name.split(".")[0] in ("1", "5"))) for name, p in named])
        local = self.gradient(weights) * chosen
        return self.base.step(weights, self.gradient(weights + self.rho * unit(local)))


@dataclass
class ZSharp(Reference):
    percentile: float = 0.95

    def new_weights(self, weights):
        local = self.gradient(weights)
        scores = []
        for part in local.split([parameter.numel() for parameter in self.model.parameters()]):
            deviation = ((part - part.mean()) ** 2).mean().sqrt()
            scores.append(((part - part.mean()) / (deviation + 1e-8 * local.abs().max())).abs())
        scores = torch.cat(scores)
        filtered = torch.where(scores > torch.quantile(scores, self.percentile), local, 0.0)
        return self.base.step(weights, self.gradient(weights + self.rho * unit(filtered)))


def hessian(model: nn.Module, loss: Loss) -> Tensor:
    """The whole matrix, of a model without buffers."""
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss(model), parameters, create_graph=True)
    elements = torch.cat([each.reshape(-1) for each in gradients])
    return torch.stack([flat(torch.autograd.grad(each, parameters, retain_graph=True)) for each in elements])


@dataclass
class EigenSAM(Reference):
    alignment: float
    every: int
    power_steps: int
    count: int = 0
    vector: Tensor | None = None

    def new_weights(self, weights):
        local = self.gradient(weights)
        if self.count % self.every == 0:
            write(self.model, weights)
            matrix = hessian(self.model, self.loss)
            for _ in range(self.power_steps):
                self.vector = unit(matrix @ self.vector)
        self.count += 1
        perpendicular = self.vector - (self.vector @ unit(local)) * unit(local)
        turned = unit(local) + self.alignment * torch.sign(self.vector @ local) * perpendicular
        return self.base.step(weights, self.gradient(weights + self.rho * unit(turned)))


@dataclass
class GAM(Reference):
    norm_rho: float = 0.2
    beta_1: float = 0.6
    beta_2: float = 0.5
    gamma: float = 0.03

    def new_weights(self, weights):
        g0 = self.gradient(weights)
        g1 = self.gradient(weights + self.rho * unit(g0))
        elsewhere = weights + self.norm_rho * unit(g1 - g0)
        g2 = self.gradient(elsewhere)
        g3 = self.gradient(elsewhere + self.rho * unit(g2))
        update = self.beta_1 * g1 + (1 - self.beta_1) * g3
        memory = g0 + self.beta_2 * g2
        perpendicular = memory - (memory @ unit(update)) * unit(update)
        return self.base.step(weights, update - self.gamma * perpendicular)


@dataclass
class MomentumSAM(Reference):
    def new_weights(self, weights):
        velocity = self.base.velocity
        moved = weights if velocity is None else weights - self.rho * unit(velocity)
        return self.base.step(weights, self.gradient(moved))


@dataclass
class LookbehindSAM(Reference):
    steps: int = 2
    interpolation: float = 0.5

    def new_weights(self, weights):
        fast, point = weights, weights
        for _ in range(self.steps):
            # As in the authors' loop, each ascent computes a gradient of its own.
            point = point + self.rho / self.steps * unit(self.gradient(point))
            fast = self.base.step(fast, self.gradient(point))
        return weights + self.interpolation * (fast - weights)
