# Two commands matter: `make demo` and `make test`. Each sets itself up on a fresh machine.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint types crds crds-check bench lock clean

help: ## what there is to type
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, found: $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked Python packages (about a minute the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## instances from kubectl apply to Ready and back to nothing, on this machine (KEEP=1 leaves it running)
	@$(BIN)/inventiv-local demo

test: $(STAMP) ## everything, with coverage (ARGS="-k name" for less)
	@$(BIN)/inventiv-local build
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

lint: $(STAMP) ## ruff, import contracts, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=operator $(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

crds: $(STAMP) ## render crds/ from the models
	@$(BIN)/python -m inventiv_operator.api.render

crds-check: $(STAMP) ## fail when crds/ is not what the models render
	@$(BIN)/python -m inventiv_operator.api.render --check

bench: $(STAMP) ## times, calls, memory and CPU for 1, 20 and 200 instances, and a rotation of the keyring
	@$(BIN)/python -m bench $(ARGS)

# Universal: one lock for every platform. --no-emit-index-url: where packages come from is each machine's own affair.
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url $(ARGS)

lock: ## pin requirements/*.txt to pyproject.toml, with hashes (ARGS=--upgrade for newer releases)
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet --disable-pip-version-check uv; }
	$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --constraints requirements/dev.txt --output-file requirements/operator.txt
	$(COMPILE) requirements/scaleway-sdk.in --output-file requirements/scaleway-sdk.txt
	echo hatchling | $(COMPILE) --no-annotate --constraints requirements/dev.txt - --output-file requirements/build.txt
	@sed -i '1i # What builds the wheel in the Dockerfile: hatchling and what it needs, exactly as locked in dev.txt.\n# A test compares the two.' requirements/build.txt

clean: ## remove what can be made again, and end the local stack
	@if [ -x $(BIN)/inventiv-local ]; then $(BIN)/inventiv-local down; fi
	rm -rf $(VENV) .venv-lock htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
