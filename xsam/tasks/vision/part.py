"""Where the images of a run are kept, and how a batch of them comes to the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Part:
    """Images (uint8, N×C×H×W) and labels (int64, N) of one part of the data, in the same order.

    Labels are on the device. Images are there too where they :func:`fit <fits>`, whole, and pinned in the host's memory
    otherwise. They may be a read-only map of a file: nothing writes to them.
    """

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def on(
        cls, device: torch.device, images: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor | None = None
    ) -> Part:
        """The part of ``images`` and ``labels`` with the indices ``chosen``, or all of it, for a run on ``device``.

        >>> part = Part.on(torch.device("cpu"), torch.zeros(4, 1, 8, 8), torch.arange(4), torch.tensor([3, 1]))
        >>> part.labels.tolist()
        [3, 1]
        """
        if chosen is not None:
            images, labels = images[chosen], labels[chosen]
        placed = images.to(device) if fits(images.nbytes, free_memory(device)) else images.pin_memory()
        return cls(placed, labels.to(device))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels with the indices ``chosen`` (int64, on the images' device), on the device.

        >>> part = Part.on(torch.device("cpu"), torch.zeros(4, 1, 8, 8), torch.arange(4))
        >>> [tensor.shape for tensor in part.take(torch.tensor([2, 0]))]
        [torch.Size([2, 1, 8, 8]), torch.Size([2])]
        """
        if self.images.device == self.labels.device:
            return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
        shape = (len(chosen), *self.images.shape[1:])
        pinned = self.images.device.type == "cpu" and self.images.is_pinned()
        images = torch.empty(shape, dtype=self.images.dtype, device=self.images.device, pin_memory=pinned)
        torch.index_select(self.images, 0, chosen, out=images)
        device = self.labels.device
        return images.to(device, non_blocking=True), self.labels.index_select(0, chosen.to(device, non_blocking=True))

    def slice(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels ``start`` … ``stop`` − 1 on the device; views where they are there already."""
        return self.images[start:stop].to(self.labels.device, non_blocking=True), self.labels[start:stop]


def fits(size: int, free: int | None) -> bool:
    """Whether ``size`` bytes are kept on a device with ``free`` bytes (``None``: it shares the host's memory).

    At most half of what is free goes to a part's images: the network, its gradients and activations need the rest.

    >>> fits(100, 200), fits(101, 200), fits(101, None)
    (True, False, True)
    """
    return free is None or 2 * size <= free


def free_memory(device: torch.device) -> int | None:
    """Bytes that tensors can still take on ``device``; ``None`` where it shares the host's memory.

    >>> free_memory(torch.device("cpu")) is None
    True
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
