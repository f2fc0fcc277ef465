# The two commands that need nothing but Python 3.11 or later: make quickstart, make test.
# PYTHON=python3.13   the interpreter that makes the environment
# TORCH=cpu           torch without CUDA, from PyTorch's own index, when the environment is made: gigabytes less
# For work on the project: make lint, format, docs, test-fast, and test-portable, which trains with fewer instructions.
# SYSTEM_DEPS=0       leave Debian packages alone; tests that need a missing one say so and are skipped
# XSAM_REQUIRE_ALL=1  let tests that need a missing program, package or fairseq fail instead, as .ci/run does

PYTHON ?= python3
SYSTEM_DEPS ?= 1
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
TORCH_INDEX := https://download.pytorch.org/whl/cpu
# One thread a process: several run at a time, and sums keep their last bits.
ALONE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PYTEST := $(ALONE) -n 2 --dist worksteal

.PHONY: quickstart results results-check test test-fast test-gpu test-portable test-emulated test-repeat lint format system-deps docs clean

quickstart: $(VENV)/.installed
	$(BIN)/xsam-bench run configs/quickstart.yaml --results build/results
	$(BIN)/xsam-bench report quickstart --results build/results --out build/reports

# Second come those that keep every core busy by themselves, or wait for a cluster's daemons. Both halves run, whatever
# the first one says, and nothing is tried twice.
test: $(VENV)/.installed-dev system-deps
	@side=passed; alone=passed; \
	(set -x; $(PYTEST) -m "not alone") || side=FAILED; \
	(set -x; $(ALONE) -m alone) || alone=FAILED; \
	echo "tests side by side: $$side; tests that run alone: $$alone"; \
	[ "$$side $$alone" = "passed passed" ]

test-fast: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not alone and not fairseq"

# What only a GPU can show; every test says that it is skipped where there is none.
test-gpu: $(VENV)/.installed-dev
	$(ALONE) -m gpu tests/optim

# Every model trained on two emulated processors, bit for bit as on this one: emulation takes its time.
test-emulated: $(VENV)/.installed-dev system-deps
	$(ALONE) -m thorough tests/runner/test_numerics.py

# Training as on a processor with fewer instructions: sums come in another order, and so do the last bits.
# make test-portable PORTABLE_TESTS="tests/runner tests/optim tests/sharpness tests/tasks": more of them
PORTABLE_TESTS ?= tests/runner
test-portable: $(VENV)/.installed-dev
	tests/portable.sh $(PYTEST) -m "not slow and not alone" $(PORTABLE_TESTS)

# make test-repeat TIMES=20 TESTS=tests/slurm: the tests of faults, signals, leases and clusters (by default all of them)
# so often alone, and so often beside two busy processes, with counts.
TIMES := 20
TESTS := tests
test-repeat: $(VENV)/.installed-dev system-deps
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.repeat $(TIMES) -m faults $(TESTS)

# The committed results of small models, again from nothing, into build/results (hours on two cores): every choice, every
# run, and the reports of them. make results RESULTS_OF=single_step_digits: one of them. What sharpness, ablation_digits and
# the grids that confirm take from single_step_digits and multi_step_digits is written in them, so they may come in any order.
# Those of Fashion-MNIST and CIFAR need 'xsam-bench data prepare' of fashion_mnist and of cifar10_12k first; the seconds of
# overhead_fashion were measured by 'xsam-bench run --jobs 1' with nothing beside it, and mean little as they come from here.
RESULTS_OF := single_step_digits single_step_fashion single_step_cifar single_step_resnet8 multi_step_digits multi_step_fashion \
	compute_matched_digits ablation_digits confirm_digits confirm_multi_step_digits sharpness overhead_fashion quickstart
results: $(VENV)/.installed
	for grid in $(RESULTS_OF); do \
	file=configs/cpu/$$grid.yaml; [ -e $$file ] || file=configs/$$grid.yaml; \
	if grep -q '^tune:' $$file; then \
	$(BIN)/xsam-bench tune $$file --results build/results --out build/$${grid}_tuned.yaml && \
	file=build/$${grid}_tuned.yaml || exit 1; fi; \
	$(BIN)/xsam-bench run $$file --results build/results || exit 1; done
	$(BIN)/xsam-bench report --results build/results --out build/reports

# Two in a hundred of the committed runs, trained again and compared bit by bit; SHARE and DRAW choose others.
SHARE := 0.02
DRAW := 0
results-check: $(VENV)/.installed
	$(BIN)/python -m benchmarks.results_check --share $(SHARE) --seed $(DRAW)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint containers/Dockerfile

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site of docs/, in build/site: it needs no network, neither here nor where it is read. A dead link is an error (with
# --quiet mkdocs would not count it).
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

system-deps:
	@tests/system-deps.sh "$(SYSTEM_DEPS)"

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(if $(filter cpu,$(TORCH)),$(PIP) --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) --editable '.[bench]'
	touch $@

# The wheel of fairseq by its hash, and without its dependencies; on other systems there is none, and its tests skip.
# It comes last: pip would call every later installation an error, since torchaudio, which is not used here, is missing.
$(VENV)/.installed-dev: $(VENV)/.installed requirements-fairseq.txt
	$(PIP) --editable '.[bench,dev,docs,mlflow,recipes,tensorboard,translation,wandb]'
	$(BIN)/python -m pip --disable-pip-version-check install --no-deps --require-hashes -r requirements-fairseq.txt
	touch $@
