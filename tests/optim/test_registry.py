"""The table of methods says what the classes take, and a grid hears of mistakes while it is planned."""

from __future__ import annotations

import inspect

import pytest

from tests.optim import problems
from xsam.grid import GridError, load_grid
from xsam.optim import SharpnessAware, registry

WRAPPING = [name for name, method in registry.METHODS.items() if method.alone is None]


def class_of(method):
    return registry._load(registry.METHODS[method].target)


def resolved(method, base, **given):
    table = registry.parameters_of(method, base)
    defaults = {name: parameter.default for name, parameter in table.items() if not parameter.unset}
    return registry.METHODS[method].resolve({**defaults, "base": base, **given})


@pytest.mark.parametrize("method", WRAPPING)
def test_defaults_are_those_of_the_class(method):
    signature = inspect.signature(class_of(method).__init__).parameters
    keywords = {name: each.default for name, each in signature.items() if each.default is not inspect.Parameter.empty}
    common = inspect.signature(SharpnessAware.__init__).parameters
    table = registry.METHODS[method].parameters
    # What is unset is another way to say a radius; only probe_radius is a keyword too.
    own = {name: parameter.default for name, parameter in table.items() if not parameter.unset}
    assert own.pop("rng", "shared") == common["rng"].default
    keywords.pop("probe_radius", None)
    assert own == keywords


def test_every_class_has_its_name():
    for method in WRAPPING:
        assert class_of(method).__name__.lower() == method.replace("_", "")


PAIRS = [
    (method, base)
    for method, entry in registry.METHODS.items()
    for base in ([entry.alone] if entry.alone else registry.BASES)
]


@pytest.mark.parametrize(("method", "base"), PAIRS)
def test_every_method_builds_from_its_defaults_and_trains(method, base):
    model = problems.plain_net()
    optimizer = registry.build(method, {**resolved(method, base), "max_grad_norm": 5.0}, model)
    assert optimizer.max_grad_norm == 5.0
    (batch,) = problems.batches(1)
    losses = [optimizer.step(problems.closure_of(model, batch)).item() for _ in range(12)]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("method", WRAPPING)
def test_a_radius_per_step_is_the_total_over_all_steps(method):
    steps = {"ascent_steps": 3} if "ascent_steps" in registry.METHODS[method].parameters else {}
    params = resolved(method, "sgd", rho_per_step=0.1, **steps)
    assert params["rho"] == pytest.approx(0.3 if steps else 0.1)
    assert "rho_per_step" not in params
    optimizer = registry.build(method, params, problems.plain_net())
    assert optimizer.rho == params["rho"]


MISTAKES = [
    ("xsam", "{alpha_step: 3}", "alpha_step must be at most alpha_max (2), not 3 (in a run of 'xsam')"),
    (
        "momentum_sam",
        "{momentum: 0}",
        "momentum_sam perturbs along the base's momentum: momentum must be above 0, not 0 (in a run of 'momentum_sam')",
    ),
    ("sgd", "{momentum: 0, nesterov: true}", "nesterov needs momentum above 0, not 0 (in a run of 'sgd')"),
    ("asam", "{momentum: 0, nesterov: true}", "nesterov needs momentum above 0, not 0 (in a run of 'asam')"),
]


@pytest.mark.parametrize(("method", "params", "message"), MISTAKES)
def test_parameters_that_do_not_fit_together_are_an_error_of_the_plan(method, params, message, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "name: g\n"
        "task: vision\n"
        "matrix:\n"
        "  model: [mlp]\n"
        "  dataset: [digits]\n"
        f"  optimizer: [sam, {method}]\n"
        f"overrides:\n  - when: {{optimizer: {method}}}\n    params: {params}\n",
        encoding="utf-8",
    )
    with pytest.raises(GridError) as caught:
        load_grid(path)
    assert str(caught.value) == f"{path}:9: {message}"


def test_momentum_is_no_matter_to_momentum_sam_on_adam():
    assert "momentum" not in resolved("momentum_sam", "adam")
