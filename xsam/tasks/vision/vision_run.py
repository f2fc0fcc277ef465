"""What a run of image classification is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from xsam.config import Config, Field
from xsam.parameters import Parameter, ParameterError, Parameters
from xsam.tasks.run_config import RunConfig, TrainingConfig
from xsam.tasks.vision.architectures import MODELS, TIMM_PREFIX
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.sizes import part_sizes
from xsam.tasks.vision.summary import EVAL_SETS


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """The network; ``own`` has the fields of this architecture alone."""

    name: Annotated[str, Field("the network", key="model")] = "mlp"
    channels_last: Annotated[
        bool, Field("memory format of images and convolutions; it changes last bits", omit_at_default=True)
    ] = False
    own: Config = field(default_factory=Config)

    @classmethod
    def of(cls, params: Parameters, **others: Any) -> Self:
        """See :meth:`Config.of`: ``own`` is of the class that the architecture says."""
        known = MODELS.get(str(params.get("model", "mlp")))
        return super().of(params, own=known.config.of(params) if known else Config(), **others)

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """See :meth:`Config.parameters`: those of every architecture."""
        own: dict[str, Parameter] = {}
        for architecture in MODELS.values():
            own |= architecture.config.parameters()
        common = dict(super().parameters())
        model = replace(
            common.pop("model"),
            choices=tuple(MODELS),
            prefixes=(TIMM_PREFIX,),
        )
        return {"model": model, **own, **common}

    def unused(self) -> frozenset[str]:
        """Names of parameters that make no difference to this model: those of other architectures above all."""
        known = MODELS.get(self.name)
        own = frozenset(known.config.parameters()) if known else frozenset[str]()
        formats = frozenset[str]() if known is None or known.convolutional else frozenset({"channels_last"})
        return (frozenset(self.parameters()) - {"model", "channels_last"} - own) | formats


@dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """The images, their parts, and what training does to them."""

    name: Annotated[str, Field("the data set", key="dataset")] = "digits"
    batch_size: Annotated[int, Field("images in a step; a last batch of one image is left out", at_least=1)] = 128
    eval_batch_size: Annotated[int, Field("images in an evaluation pass; may change last bits", at_least=1)] = 200
    train_subset: Annotated[int | None, Field("train on this many images; null: all", at_least=1)] = None
    val_fraction: Annotated[float, Field("validation images / train_subset (or / all)", at_least=0, below=1)] = 0.1
    label_noise: Annotated[float, Field("fraction of training labels made wrong", at_least=0, at_most=1)] = 0.0
    test_subset: Annotated[
        int | None,
        Field("test on this many images, the same for every seed; null: all", at_least=1, omit_at_default=True),
    ] = None
    eval_sets: Annotated[
        tuple[str, ...],
        Field("further test sets, for the weights after training", choices=tuple(EVAL_SETS), omit_at_default=True),
    ] = ()
    augment: Annotated[
        Literal["none", "crop_flip", "resized_crop_flip"],
        Field("random crop and flip in training; resized: the crop is resized to the images' size"),
    ] = "none"
    crop_scale_min: Annotated[
        float,
        Field(
            "resized_crop_flip: the smallest share of an image's area that a crop takes",
            above=0,
            at_most=1,
            omit_at_default=True,
        ),
    ] = 0.8
    cutout: Annotated[
        int, Field("side in pixels of the square that cutout blanks; 0: no cutout", at_least=0, omit_at_default=True)
    ] = 0
    cutout_probability: Annotated[
        float, Field("share of training images that cutout changes", above=0, at_most=1, omit_at_default=True)
    ] = 0.5
    erasing_probability: Annotated[
        float, Field("share of training images with a box erased", at_least=0, at_most=1, omit_at_default=True)
    ] = 0.0

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """See :meth:`Config.parameters`: with the data sets that there are now."""
        own = dict(super().parameters())
        return {**own, "dataset": replace(own["dataset"], choices=(*DATASETS, *EVALUATION_SETS))}

    def unused(self) -> frozenset[str]:
        """Names of parameters that make no difference: what an augmentation that is off would do, above all."""
        idle = {
            "crop_scale_min": self.augment != "resized_crop_flip",
            "cutout_probability": not self.cutout,
            "val_fraction": self._validates_apart,
        }
        return frozenset(name for name, unused in idle.items() if unused)

    @property
    def _validates_apart(self) -> bool:
        """Whether the data set has a validation part of its own."""
        return self.name in DATASETS and DATASETS[self.name].validation > 0

    def trained_on(self) -> int:
        """How many images a run trains on.

        Raises ``ValueError`` (one line) where the data set has too few.

        >>> DataConfig(name="digits", val_fraction=0.1).trained_on()
        1293
        """
        fraction, images = 0.0 if self._validates_apart else self.val_fraction, DATASETS[self.name].train
        if self._validates_apart and (self.train_subset or 0) > images:
            raise ParameterError(
                f"train_subset {self.train_subset:,} is more than the {images:,} training images of {self.name}",
                "train_subset",
            )
        train, _ = part_sizes(images, self.train_subset, fraction)
        return train


@dataclass(frozen=True, kw_only=True)
class VisionTraining(TrainingConfig):
    """The training loop's parameters and the loss's."""

    label_smoothing: Annotated[float, Field("label smoothing of the training loss", at_least=0, below=1)] = 0.0


@dataclass(frozen=True, kw_only=True)
class VisionRun(RunConfig):
    """A run of image classification.

    Example:
        >>> run = VisionRun.of({"model": "mlp", "hidden": (64,), "dataset": "digits", "epochs": 5})
        >>> run.model.own, run.data.name, run.training.epochs
        (MlpConfig(hidden=(64,)), 'digits', 5)
    """

    model: ModelConfig = field(default_factory=lambda: ModelConfig.of({}))
    data: DataConfig = field(default_factory=DataConfig)
    training: VisionTraining = field(default_factory=VisionTraining)
