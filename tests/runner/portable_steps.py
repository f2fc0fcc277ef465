"""Train every kind of CPU model for a step or two with portable numerics, and print a digest of all their numbers.

A program of its own, since the CPU that it runs on is chosen from outside: ``qemu-x86_64 -cpu Haswell-v4 python …``.

    python -m tests.runner.portable_steps vision MODEL…
    python -m tests.runner.portable_steps translation DATA
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from xsam.grid import load_grid
from xsam.grid.spec import RunSpec
from xsam.runner import numerics
from xsam.tasks import Problem, get_task
from xsam.tasks.run_config import PORTABLE

CHANNELS, CLASSES, BATCH = 3, 4, 2
# Emulation is slow: images of 8×8, but for VGG's five halvings and a patch of timm's ViT; one step of the deep ones,
# from weights that are not drawn ("drawn": those whose initial weights are looked at).
MODELS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"hidden": (48, 40), "optimizer": "asam", "base": "adamw", "steps": 3, "drawn": True},
    "resnet8": {"channels_last": True, "steps": 2, "drawn": True},
    "resnet18": {"optimizer": "sgd"},
    "vgg11_bn": {"size": 32, "batch_size": 1, "optimizer": "sgd"},
    "densenet121": {"optimizer": "sgd"},
    "timm/vit_tiny_patch16_224": {"size": 32, "batch_size": 1, "optimizer": "sgd"},
}
# The smallest translation model that has every kind of layer, trained with Adam.
TRANSLATION = {"model": "transformer", "dataset": "parallel_text", "bpe_merges": 40, "embed_dim": 16, "ffn_dim": 32}
TRANSLATION |= {"heads": 2, "layers": 1, "max_tokens": 60, "eval_batch_size": 4, "beam": 2}


def main() -> None:
    """Print one JSON object: model → digest."""
    kind, *rest = sys.argv[1:]
    numerics.enter(PORTABLE)
    digests = translation(Path(rest[0])) if kind == "translation" else dict(map(vision, rest))
    print(json.dumps(digests))


def vision(name: str) -> tuple[str, str]:
    """The digest of a vision model's steps and evaluation on images of noise."""
    import torch

    from xsam.tasks.vision.images import ImageData
    from xsam.tasks.vision.problem import VisionProblem
    from xsam.tasks.vision.vision_run import VisionRun

    options = dict(MODELS[name])
    size, method, drawn = options.pop("size", 8), options.pop("optimizer", "xsam"), options.pop("drawn", False)
    batch = options.setdefault("batch_size", BATCH)
    count = batch * options.pop("steps", 1)
    noise = bytearray(random.Random(0).randbytes(count * CHANNELS * size * size))
    images = torch.frombuffer(noise, dtype=torch.uint8).view(count, CHANNELS, size, size)
    labels = torch.arange(count) % CLASSES
    spread = (0.5,) * CHANNELS
    data = ImageData(images, images, labels, images, labels, spread, spread, 255, CLASSES, "noise", "here")
    given = {
        "model": name,
        "dataset": "cifar10",
        "val_fraction": 0.0,
        "augment": "crop_flip",
        "label_smoothing": 0.1,
    }
    run = spec_of("vision", method, {**given, **options})

    def opened() -> Problem:
        with nullcontext() if drawn else _cheap_weights():
            return VisionProblem(VisionRun.of(run.params), data, torch.device("cpu"))

    return name, digest(run, opened)


@contextmanager
def _cheap_weights() -> Iterator[None]:
    """Repeat a few numbers where initial weights are drawn: tens of millions of draws take minutes in an emulator."""
    import torch

    tile = (torch.arange(997) * 389 % 997 - 498) / 20_000

    def fill(weights: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        if weights.numel() > 2**25:  # torchvision's own classifier of VGG, which is replaced
            return weights
        return weights.copy_(tile.repeat(weights.numel() // len(tile) + 1)[: weights.numel()].view_as(weights))

    with patch.object(torch.Tensor, "normal_", fill), patch.object(torch.Tensor, "uniform_", fill):
        yield


def translation(data_dir: Path) -> dict[str, str]:
    """The digest of a Transformer's steps and of its translations."""
    import torch

    run = spec_of("translation", "xsam", {**TRANSLATION, "lr": 1e-3})
    task = get_task("translation")
    return {"transformer": digest(run, lambda: task.open(run.config, data_dir, torch.device("cpu")))}


def spec_of(task: str, method: str, given: Mapping[str, Any]) -> RunSpec:
    """The one run of a grid with the given parameters."""
    few_probes = {"alpha_max": 1.0, "alpha_step": 0.5} if method == "xsam" else {}
    grid = {"name": "g", "task": task, "matrix": {"optimizer": [method]}}
    params = {"numerics": PORTABLE, **given, **few_probes}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(json.dumps({**grid, "params": params}))  # which YAML takes
        (run,) = load_grid(path).runs
    return run


def digest(run: RunSpec, opened: Callable[[], Problem]) -> str:
    """Of every weight, buffer, loss and metric of an epoch of up to three steps and an evaluation."""
    import torch

    from xsam.runner.run import set_up_torch
    from xsam.runner.trainer import Trainer

    set_up_torch(1, 0)
    problem = opened()
    trainer = Trainer(run, problem)
    seen = hashlib.sha256()

    def see(tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            seen.update(tensor.detach().contiguous().numpy().tobytes())

    see(problem.model.state_dict().values())
    for step in range(min(3, problem.steps_per_epoch)):
        see([trainer.step(problem.batch(0, step))])
    see(problem.model.state_dict().values())
    seen.update(repr(problem.evaluate()).encode())  # not the bits: any NaN is NaN
    return seen.hexdigest()[:16]


if __name__ == "__main__":
    main()
