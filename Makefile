# The two commands that need nothing but Python 3.11 or later: make quickstart, make test.
# PYTHON=python3.12   the interpreter that makes the environment
# SYSTEM_DEPS=0       leave Debian packages alone; tests that need a missing one say so and are skipped
# XSAM_REQUIRE_ALL=1  let tests that need a missing program, package or fairseq fail instead, as .ci/run does

PYTHON ?= python3
SYSTEM_DEPS ?= 1
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
# One thread a process: several run at a time, and sums keep their last bits.
ALONE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PYTEST := $(ALONE) -n 2 --dist worksteal

.PHONY: quickstart test test-fast lint format system-deps clean

quickstart: $(VENV)/.installed
	$(BIN)/xsam-bench run configs/quickstart.yaml
	$(BIN)/xsam-bench report quickstart --out build/reports

# Second come those that keep every core busy by themselves, or wait for a cluster's daemons. Many kill and wait for real
# processes: what fails where a neighbour took the machine is tried once more, by itself; both outcomes are printed.
AGAIN := $(ALONE) --last-failed --last-failed-no-failures none

test: $(VENV)/.installed-dev system-deps
	$(PYTEST) -m "not alone" || $(AGAIN) -m "not alone"
	$(ALONE) -m alone || $(AGAIN) -m alone

test-fast: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not alone and not fairseq"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

system-deps:
	@tests/system-deps.sh "$(SYSTEM_DEPS)"

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

# The wheel of fairseq by its hash, and without its dependencies; on other systems there is none, and its tests skip.
$(VENV)/.installed-dev: $(VENV)/.installed requirements-fairseq.txt
	$(BIN)/python -m pip --disable-pip-version-check install --no-deps --require-hashes -r requirements-fairseq.txt
	$(PIP) --editable '.[dev,translation]'
	touch $@
