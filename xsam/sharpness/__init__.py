"""How sharp a minimum is: Hessian spectrum, losses around the weights, quality of the ascent directions, loss planes.

Everything here takes ``model``, ``loss_fn(model, batch)`` that returns a batch's mean loss, and ``batches``, and leaves
the model, its gradients and the random state as they were. Needs torch alone; the figures need matplotlib.

    >>> import torch
    >>> from xsam.sharpness import top_eigenvalues
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> top_eigenvalues(model, lambda model, batch: model(batch).square().mean(), [batch], k=2).round(decimals=3)
    tensor([4., 1.], dtype=torch.float64)

Names are loaded on first use, so that a grid can be planned without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xsam.sharpness._lanczos import NotConverged as NotConverged
    from xsam.sharpness.directions import DirectionQuality as DirectionQuality
    from xsam.sharpness.directions import direction_quality as direction_quality
    from xsam.sharpness.losses import Measure as Measure
    from xsam.sharpness.losses import measures as measures
    from xsam.sharpness.planes import AlphaProfile as AlphaProfile
    from xsam.sharpness.planes import LossPlane as LossPlane
    from xsam.sharpness.planes import alpha_profile as alpha_profile
    from xsam.sharpness.planes import ascent_plane as ascent_plane
    from xsam.sharpness.planes import random_plane as random_plane
    from xsam.sharpness.spectrum import Density as Density
    from xsam.sharpness.spectrum import Eigenpairs as Eigenpairs
    from xsam.sharpness.spectrum import Trace as Trace
    from xsam.sharpness.spectrum import spectral_density as spectral_density
    from xsam.sharpness.spectrum import top_eigenpairs as top_eigenpairs
    from xsam.sharpness.spectrum import top_eigenvalues as top_eigenvalues
    from xsam.sharpness.spectrum import trace as trace

_MODULES = {
    "NotConverged": "_lanczos",
    "DirectionQuality": "directions",
    "direction_quality": "directions",
    "Measure": "losses",
    "measures": "losses",
    "AlphaProfile": "planes",
    "LossPlane": "planes",
    "alpha_profile": "planes",
    "ascent_plane": "planes",
    "random_plane": "planes",
    "Density": "spectrum",
    "Eigenpairs": "spectrum",
    "Trace": "spectrum",
    "spectral_density": "spectrum",
    "top_eigenpairs": "spectrum",
    "top_eigenvalues": "spectrum",
    "trace": "spectrum",
}

__all__ = [
    "AlphaProfile",
    "Density",
    "DirectionQuality",
    "Eigenpairs",
    "LossPlane",
    "Measure",
    "NotConverged",
    "Trace",
    "alpha_profile",
    "ascent_plane",
    "direction_quality",
    "measures",
    "random_plane",
    "spectral_density",
    "top_eigenpairs",
    "top_eigenvalues",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"xsam.sharpness.{_MODULES[name]}"), name)
