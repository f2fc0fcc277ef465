"""What one installs from: an sdist that can test itself, and a wheel that has everything, in environments of their own.

Nothing here uses the network: distributions are built by the setuptools that is there, and the new environments borrow
the libraries of this one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from xsam.cli.entry import HARNESS

ROOT = Path(__file__).parents[2]
LEFT_OUT = (
    ".git",
    ".venv",
    "build",
    "dist",
    "data",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
    ".workers",
)
TORCH = (
    "torch",
    "torchgen",
    "functorch",
    "nvidia",
    "triton",
    "cuda",
    "filelock",
    "fsspec",
    "jinja2",
    "markupsafe",
    "mpmath",
    "networkx",
    "sympy",
    "setuptools",
    "typing_extensions.py",
)
# Of no repository, and of nobody's: what this machine's git is set to must not matter.
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def call(*command: object, cwd: Path, status: int = 0, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def build(kind: str, source: Path, out: Path) -> Path:
    """The ``sdist`` or ``wheel`` of a source tree, as a front end has it built."""
    out.mkdir(exist_ok=True)
    call(sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})", cwd=source)
    (built,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, so to speak: these files, committed in a repository of their own."""
    folder = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    call("git", "init", "--quiet", cwd=folder, **GIT)
    call("git", "add", "--all", cwd=folder, **GIT)
    call("git", *identity, "commit", "--quiet", "--message=all", cwd=folder, **GIT)
    return folder


@pytest.fixture(scope="module")
def unpacked(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source, folder / "dist")) as archive:
        archive.extractall(folder, filter="data")
    (content,) = folder.glob("xsam_bench-*")
    return content


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as an installer does that finds no wheel."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


def environment(folder: Path, wheel: Path) -> tuple[Path, Path]:
    """A new environment with the wheel and nothing else: its folder of programs, and of packages."""
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python")
    call(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    return folder / "bin", packages


def test_the_command_names_what_its_extra_installs() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [re.split(r"[<>=]", one)[0] for one in declared["dependencies"]] == ["torch"]
    extra = {re.split(r"[<>=]", one)[0].lower() for one in declared["optional-dependencies"]["bench"]}
    modules = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if extra & {name.lower() for name in distributions} and module.isidentifier() and not module.startswith("_")
    }
    assert modules >= HARNESS
    assert len(HARNESS) == len(extra)


def test_the_scripts_of_the_apptainer_recipe_are_shell() -> None:
    recipe = (ROOT / "containers" / "xsam-bench.def").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", recipe, flags=re.MULTILINE | re.DOTALL))
    assert {"files", "post", "environment", "runscript", "test"} <= set(sections)
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=sections[name], text=True, check=True)


@pytest.mark.slow
@pytest.mark.needs("git")
def test_the_wheel_works_in_an_empty_folder(wheel: Path, source: Path, tmp_path: Path) -> None:
    programs, packages = environment(tmp_path / "env", wheel)
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    bench = programs / "xsam-bench"

    assert "wrote study.yaml" in call(bench, "init", "study.yaml", cwd=folder)
    assert "study: 20 pending" in call(bench, "plan", "study.yaml", cwd=folder)
    call(bench, "run", "quickstart", "--set", "epochs=1", "--only", "seed=0", "--only", "optimizer=xsam", cwd=folder)
    call(bench, "report", "--out", "reports", cwd=folder)

    assert (folder / "reports" / "index.html").exists()
    read = (
        "import json, sys, xsam; from pathlib import Path; from xsam.store import read\n"
        "(text,) = read(Path('results'))['provenance']\n"
        "print(json.dumps([xsam.__file__, json.loads(text)['code']]))"
    )
    file, code = json.loads(call(programs / "python", "-c", read, cwd=folder))
    assert Path(file).is_relative_to(packages)
    head = call("git", "rev-parse", "HEAD", cwd=source, **GIT).strip()
    assert (code["commit"], code["dirty"]) == (head, False)


@pytest.mark.slow
@pytest.mark.needs("git")
def test_with_torch_alone_the_library_works_and_the_command_says_what_it_needs(wheel: Path, tmp_path: Path) -> None:
    programs, packages = environment(tmp_path / "env", wheel)
    for name in TORCH:
        if (here := Path(sysconfig.get_path("purelib"), name)).exists():
            (packages / name).symlink_to(here)
    train = (
        "import torch, xsam\n"
        "model = torch.nn.Linear(2, 1)\n"
        "optimizer = xsam.XSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)\n"
        "print(optimizer.step(lambda: model(torch.ones(4, 2)).square().mean()))"
    )
    assert "tensor" in call(programs / "python", "-W", "ignore", "-c", train, cwd=tmp_path)
    said = call(programs / "xsam-bench", "plan", "quickstart", cwd=tmp_path, status=2)
    assert said.count("\n") == 1
    assert "pip install 'xsam-bench[bench]'" in said


@pytest.mark.slow
@pytest.mark.needs("git")
def test_distributions_have_what_the_checkout_has(wheel: Path, unpacked: Path, source: Path) -> None:
    tracked = set(call("git", "ls-files", cwd=source, **GIT).splitlines())
    links = {"xsam/templates/grids", "xsam/templates/profiles"}
    of_a_checkout = {".gitignore", ".dockerignore", ".pre-commit-config.yaml", ".github/workflows/ci.yml"}
    assert {path for path in tracked - links if not (unpacked / path).exists()} <= of_a_checkout
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {path for path in tracked - links if path.startswith("xsam/")} <= packed
    for top, inside in (("configs/", "xsam/templates/grids/"), ("slurm/profiles/", "xsam/templates/profiles/")):
        own = {path for path in tracked if path.startswith(top) and path != "configs/paper/claims.yaml"}
        assert {path.replace(top, inside, 1) for path in own} <= packed
    assert not [name for name in packed if name.startswith(("tests", "benchmarks"))]


@pytest.mark.slow
@pytest.mark.needs("git")
def test_the_sdist_has_what_its_tests_need(unpacked: Path) -> None:
    some = (
        "tests/test_readme.py",
        "tests/test_reference.py",
        "tests/grid/test_golden_ids.py",
    )
    arguments = ("-q", "-m", "not slow", "-p", "no:cacheprovider", *some)
    call(sys.executable, "-m", "pytest", *arguments, cwd=unpacked, PYTHONPATH=str(unpacked))
    call(sys.executable, "-m", "pytest", "-q", "--collect-only", cwd=unpacked, PYTHONPATH=str(unpacked))
