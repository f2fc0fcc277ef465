"""The table of methods says what the classes take, and a grid hears of mistakes while it is planned."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.optim import problems
from xsam.grid import GridError, load_grid
from xsam.optim import pass_counts, registry
from xsam.optim._step.declare import parameters_of
from xsam.optim.bases import BASES
from xsam.optim.method import Method

WRAPPING = [name for name, method in registry.METHODS.items() if method.alone is None]


def class_of(method):
    return class_of_target(registry.METHODS[method].target)


def class_of_target(target):
    return registry._load(target)


def resolved(method, base, **given):
    table = registry.parameters_of(method, base)
    defaults = {name: parameter.default for name, parameter in table.items() if not parameter.unset}
    return registry.METHODS[method].resolve({**defaults, "base": base, **given})


@pytest.mark.parametrize("method", WRAPPING)
def test_a_plan_reads_the_options_that_the_class_has(method):
    options = class_of(method)._options
    assert parameters_of(registry.METHODS[method].target) == {
        name: each.parameter for name, each in options.items() if each.grid
    }
    signature = inspect.signature(class_of(method)).parameters
    assert {name: each.default for name, each in signature.items()} == {n: each.default for n, each in options.items()}
    # What is unset is another way to say a radius; only probe_radius is a keyword too.
    table = registry.METHODS[method].parameters
    assert {name for name, each in table.items() if not each.unset} - {"active_from", "active_until"} <= set(signature)


def test_the_docstring_says_what_the_options_mean():
    text = inspect.getdoc(class_of("asam"))
    assert "    eta: added to the weights' sizes. Default: 0.01.\n" in text
    assert text.index("Args:") < text.index("Raises:") < text.index("Example:")


TOY = """
from __future__ import annotations

from xsam.optim._step.ascent import AscentMethod
from xsam.optim._step.declare import option

STRENGTH = 0.5


class Toy(AscentMethod):
    strength: {kind} = option(default={default}, at_least=0, help="how much")

    def _update(self, passes, parameters):
        return passes.gradient()
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Write the module of a method; returns the target of its class."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, kind="float", default="0.5"):
        (tmp_path / f"{name}.py").write_text(TOY.format(kind=kind, default=default), encoding="utf-8")
        return f"{name}:Toy"

    return write


def test_a_new_method_is_one_file_and_one_line(toy):
    method = Method(toy("toy_alone"))
    assert list(method.parameters) == ["rho", "rho_per_step", "rng", "strength", "active_from", "active_until"]
    assert method.parameters["strength"].default == 0.5
    with pytest.raises(ValueError, match="strength must be at least 0, not -1"):
        class_of_target(method.target)(problems.sgd(problems.plain_net()), strength=-1)


@pytest.mark.parametrize(
    ("name", "kind", "default", "message"),
    [
        ("toy_named", "float", "STRENGTH", r"toy_named:\d+: the option strength is read without running the module"),
        ("toy_typed", "list[float]", "None", "the option strength is no number, flag or word"),
    ],
)
def test_an_option_that_no_plan_can_read_is_one_error(toy, name, kind, default, message):
    with pytest.raises(ValueError, match=message):
        parameters_of(toy(name, kind, default))


def test_a_class_that_does_not_exist_is_named_with_its_nearest():
    with pytest.raises(ValueError, match=r"xsam.optim.asam has no class ASM; did you mean 'ASAM'\?"):
        parameters_of("xsam.optim.asam:ASM")


@pytest.mark.parametrize("method", WRAPPING)
def test_an_unknown_keyword_is_an_error_with_the_nearest_one(method):
    with pytest.raises(TypeError, match=rf"{class_of(method).__name__} has no option 'roh'; did you mean 'rho'\?"):
        class_of(method)(problems.sgd(problems.plain_net()), roh=0.1)


def test_every_class_has_its_name():
    for method in WRAPPING:
        assert class_of(method).__name__.lower() == method.replace("_", "")


PAIRS = [
    (method, base) for method, entry in registry.METHODS.items() for base in ([entry.alone] if entry.alone else BASES)
]


@pytest.mark.parametrize(("method", "base"), PAIRS)
def test_every_method_builds_from_its_defaults_and_trains(method, base):
    model = problems.batch_norm_net()
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
    optimizer: Any = registry.build(method, params, problems.batch_norm_net())
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


PARTS = [{}, {"active_from": 0.4}, {"active_from": 0.5, "active_until": 0.9}, {"active_until": 0.34}]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("method", "given"), [("sam", {}), ("xsam", {}), ("xsam", {"search_every": 2}), ("looksam", {})]
)
def test_the_cost_of_a_part_of_a_run_is_counted_before_it_runs(method, given, part):
    params, steps, steps_per_epoch = resolved(method, "sgd", **given, **part), 11, 4
    model = problems.plain_net()
    optimizer: Any = registry.build(method, params, model, steps=steps)
    for step, batch in enumerate(problems.batches(steps)):
        if step % steps_per_epoch == 0 and pass_counts.searches_each_epoch(params):
            optimizer.request_alpha_search()
        optimizer.step(problems.closure_of(model, batch))
    assert optimizer.backwards == pass_counts.backward_passes(method, params, steps)
    searched = pass_counts.alpha_searches(params, steps, steps_per_epoch)
    assert optimizer.forwards == optimizer.backwards + 21 * searched
    mean = pass_counts.passes_per_step(method, params)
    assert float(mean) == pytest.approx(optimizer.backwards / steps, abs=0.2)


def test_a_part_of_a_run_needs_to_know_how_long_that_is():
    with pytest.raises(ValueError, match="how many steps the run has is to be known"):
        registry.build("sam", resolved("sam", "sgd", active_from=0.5), problems.plain_net())
    with pytest.raises(ValueError, match=r"active_from must be below active_until \(0.5\), not 0.6"):
        resolved("sam", "sgd", active_from=0.6, active_until=0.5)


def test_momentum_is_no_matter_to_momentum_sam_on_adam():
    assert "momentum" not in resolved("momentum_sam", "adam")
