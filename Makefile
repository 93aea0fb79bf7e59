# `make demo` and `make test` set everything up by themselves; nothing outside this folder is touched.

# The first of these that is new enough; `make PYTHON=... demo` names another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check audit fmt bench fuzz sim drill kill-drill lock clean

demo: setup
	$(BIN)/hustings demo $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The lock file against pyproject.toml and what is installed; and pip-audit, where its service can be reached.
audit: setup
	$(BIN)/python deploy/audit.py

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: setup
	$(BIN)/python -m tests.fuzz $(ARGS)

# make sim TRIALS=1000, or make sim SEED=7 for one trial again.
sim: setup
	$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED)) $(if $(TRIALS),--trials $(TRIALS)) $(ARGS)

# Every kind of fault under load, one after the other: make drill ARGS="--faults clock --seconds 60"
drill: setup
	$(BIN)/python -m tests.fault_drill $(ARGS)

kill-drill: setup
	$(BIN)/python -m tests.drill $(ARGS)

setup: $(READY)

# A half-made environment is thrown away: the marker is written last.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || \
		{ echo "Hustings needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python ..." >&2; exit 2; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

# Needs uv. Resolves for every supported Python at once; names no package index.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev --no-header \
		pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
