"""A plug-in for xsam-bench: the optimizer ``blend_sam``, the model ``two_layers``, the data set ``stripes``."""

from my_method.data import stripes
from my_method.model import Widths, two_layers
from my_method.optimizer import BlendSAM
from xsam.plugins import Plugin

# Raise the version when the same parameters give other numbers than before: it is in the ids of runs.
plugin = Plugin("my_method", version="1")
plugin.optimizer("blend_sam", passes=2)(BlendSAM)
plugin.model("two_layers", config=Widths, convolutional=False)(two_layers)
plugin.dataset("stripes", channels=1, size=8, classes=2, train=400, test=200, mean=[0.5], std=[0.29], balanced=True)(
    stripes
)
