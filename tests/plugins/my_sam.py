"""A method of my own."""

import torch
from torch import Tensor, nn

from xsam.optim.extend import AscentMethod, Passes, Tensors, ascend, option
from xsam.plugins import Plugin

plugin = Plugin("my_sam", version="1")


@plugin.optimizer("my_sam", passes=2)
class MySAM(AscentMethod):
    """SAM whose update is scaled."""

    shrink: float = option(default=1.0, above=0, at_most=2, help="factor of the update")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, 1).loss
        passes.weights.restore()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(self.shrink)
        return loss


@plugin.model("my_net", convolutional=False)
def my_net(channels, size, classes, config):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))


@plugin.diagnostic("my_norms")
def my_norms(model, loss, batches):
    with torch.no_grad():
        total = sum(float(loss(model, batch)) for batch in batches) / len(batches)
    return {"weights": sum(float(each.detach().square().sum()) for each in model.parameters()), "loss": total}


@plugin.dataset("my_blobs", channels=1, size=4, classes=2, train=60, test=20, mean=[0.5], std=[0.25])
def my_blobs():
    import numpy as np

    g = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = (g.integers(0, 100, (80, 1, 4, 4)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    return images[:60], labels[:60], images[60:], labels[60:]
