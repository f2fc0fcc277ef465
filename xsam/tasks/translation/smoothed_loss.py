"""Label-smoothed cross entropy with one log-softmax and one matrix of gradients, to the bits of torch's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _SmoothedSum(torch.autograd.Function):
    """The loss, and the log-probabilities that its gradient needs.

    In a row of the log-probabilities' gradient all entries but the target's are the same. torch makes a matrix of zeros
    for the one and another for the others, adds them to a third, and takes a fourth for the scores' gradient; here one
    is filled, set at the targets, and turned into the scores' gradient where it is.

    The log-probabilities are an output so that a gradient of the gradient (a Hessian's) finds its way through them.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """The sum over all rows, and log-probabilities."""
        log_probabilities = torch.log_softmax(scores, 1)
        ctx.save_for_backward(log_probabilities, target)
        ctx.smoothing = smoothing
        ctx.set_materialize_grads(False)
        right = F.nll_loss(log_probabilities, target, reduction="sum")
        wrong = (-log_probabilities.sum(1)).sum()
        loss = (1 - smoothing) * right + wrong * (smoothing / log_probabilities.shape[1])
        return loss, log_probabilities

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        """The scores' gradient; one that can be differentiated again where autograd asks for that."""
        log_probabilities, target = ctx.saved_tensors
        of_loss, found = gradients
        if of_loss is not None:
            everywhere = -(of_loss * (ctx.smoothing / log_probabilities.shape[1]))
            at_target = (everywhere - of_loss * (1 - ctx.smoothing)).expand(len(target), 1)
            filled = everywhere.expand(log_probabilities.shape).contiguous().scatter_(1, target[:, None], at_target)
            if found is None and not torch.is_grad_enabled():
                kind = log_probabilities.dtype
                torch.ops.aten._log_softmax_backward_data.out(filled, log_probabilities, 1, kind, out=filled)
                return filled, None, None
            found = filled if found is None else found + filled
        if found is None:
            return None, None, None
        return found - log_probabilities.exp() * found.sum(1, keepdim=True), None, None


def smoothed_cross_entropy(scores: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Sum over the rows of the cross entropy in nats, as ``torch.nn.functional.cross_entropy`` has it to the bit.

    Args:
        scores: logits, rows × entries.
        target: the right entry of each row.
        smoothing: the share of the target that is spread evenly over all entries.

    Example:
        >>> scores, target = torch.tensor([[1.0, 2.0, 4.0], [0.5, 0.0, 0.0]]), torch.tensor([2, 0])
        >>> expected = F.cross_entropy(scores, target, label_smoothing=0.1, reduction="sum")
        >>> torch.equal(smoothed_cross_entropy(scores, target, 0.1), expected)
        True
    """
    if not smoothing:
        return F.cross_entropy(scores, target, reduction="sum")
    loss: Tensor = _SmoothedSum.apply(scores, target, smoothing)[0]
    return loss
