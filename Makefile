# Each target is one plain command; `make help` lists them. The first use sets up .venv by itself.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
KEEP ?= 3
BIN := .venv/bin
READY := .venv/.ready
export KEDRO_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Where an environment forbids it, each process would compile PyTorch and all others anew (8 s).
export PYTHONDONTWRITEBYTECODE :=

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(READY) ## train and score the guided student on the embedded digits (about a minute)
	$(BIN)/kedro run

test: $(READY) lint ## lint, types, layer contract and every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(READY) ## ruff, mypy and the layer contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

torture: $(READY) ## kill twenty runs and compare bytes (about half an hour)
	cd tests && ../$(BIN)/python torture.py

bench: $(READY) ## measure speed beside its peers; writes docs/benchmarks.md
	cd benchmarks && ../$(BIN)/python run.py

viz: $(READY) ## look at the pipelines in the browser
	$(BIN)/kedro viz run

mlflow: $(READY) ## compare runs in the browser, at http://127.0.0.1:5000
	$(BIN)/kedro mlflow

prune: $(READY) ## remove all but the newest KEEP (3) versions of every dataset
	$(BIN)/kedro prune --keep $(KEEP)

lock: $(READY) ## pin the newest allowed versions anew
	.uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --quiet --upgrade --group dev -o requirements.lock pyproject.toml
	echo 'uv' | .uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --quiet --upgrade -o requirements-uv.lock -

setup: $(READY) ## only set up .venv

# uv goes beside .venv with --target, which works under a system Python that is "externally managed".
$(READY): requirements.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --require-hashes --target .uv -r requirements-uv.lock
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	VIRTUAL_ENV=.venv .uv/bin/uv pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=.venv .uv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help run test lint torture bench viz mlflow prune lock setup
