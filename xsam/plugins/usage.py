"""Which plug-ins a run uses, and what is said where one of them is not loaded."""

from __future__ import annotations

from collections.abc import Mapping

from xsam.optim.bases import BASES
from xsam.optim.registry import METHODS
from xsam.parameters import Parameters
from xsam.plugins.load import PluginError, is_path, loaded
from xsam.tasks import TASKS
from xsam.tasks.vision.architectures import MODELS
from xsam.tasks.vision.datasets import DATASETS


def used_by(task: str, method: str, params: Parameters) -> dict[str, str]:
    """Name → version of the plug-ins that a run uses: those of its task, method, base, model and data.

    >>> used_by("vision", "sam", {"model": "mlp", "dataset": "digits", "base": "sgd"})
    {}
    """
    owners = {
        TASKS.owner(task),
        METHODS.owner(method),
        BASES.owner(str(params.get("base"))),
        MODELS.owner(str(params.get("model"))) if task == "vision" else None,
        DATASETS.owner(str(params.get("dataset"))) if task == "vision" else None,
    }
    return {name: loaded()[name].version for name in sorted(owner for owner in owners if owner)}


def require(run_id: str, wanted: Mapping[str, str], references: Mapping[str, str]) -> None:
    """Raise ``PluginError`` unless the plug-ins of a stored run are loaded, in its versions.

    Args:
        run_id: the run.
        wanted: name → version.
        references: name → how the grid named it.
    """
    for name, version in wanted.items():
        one = loaded().get(name)
        if one is None:
            reference = references.get(name, "")
            named = reference if reference and not is_path(reference) else f"FILE (it was {reference})"
            raise PluginError(
                f"run {run_id} uses the plug-in {name} (version {version}), which is not loaded: "
                f"xsam-bench --plugin {named} …"
            )
        if one.version != version:
            raise PluginError(
                f"run {run_id} uses version {version} of the plug-in {name}, and {one.reference} is version "
                f"{one.version}: load that one"
            )
