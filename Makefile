# What one does with a checkout. `make` alone lists the targets.
# Needs Python 3.11 or newer; everything else is installed into .venv, as constraints.txt says.
# pip and uv read their usual settings (PIP_*, UV_*) from the environment.

PYTHON ?= python3
ARGS ?=

# Each process has one thread. Alone, as a debugger wants it: make test PARALLEL= or ARGS='--pdb'.
PARALLEL ?= --numprocesses=auto --maxprocesses=4 --dist=worksteal

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RELEASE_OF_PYTHON := import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help setup train test soak check lint types layers docs format cards constraints clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Options go into ARGS, as in: make train ARGS='--model botnet_pico --epochs 5'"

setup: $(STAMP)  ## make .venv and install everything into it, once
	@echo "$(VENV) is ready"

train: $(STAMP)  ## train a small network on the bundled flowers and write a report
	@$(BIN)/graft train $(ARGS)

test: $(STAMP)  ## run the tests
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

soak: $(STAMP)  ## kill a hundred training runs at random moments, and see that they end as if nobody had
	@OMP_NUM_THREADS=1 $(BIN)/python -m scripts.soak $(ARGS)

check: lint types layers docs  ## check style, types, import layers and pages

lint: $(STAMP)  ## check style and format
	@echo "ruff: style and format"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "make format mends this"; exit 1; }

types: $(STAMP)  ## check types
	@echo "mypy: types"
	@$(BIN)/mypy --no-error-summary

layers: $(STAMP)  ## check that imports point one way
	@echo "import-linter: layers"
	@mkdir -p .cache
	@$(BIN)/lint-imports --no-logo --cache-dir .cache/importlinter > .cache/importlinter.txt 2>&1 \
		|| { cat .cache/importlinter.txt; exit 1; }

docs: $(STAMP)  ## check links and forbidden text
	@echo "check_docs: links and forbidden text"
	@$(BIN)/python scripts/check_docs.py

format: $(STAMP)  ## put the code into its one format and mend what can be mended
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

# How far networks are from their originals needs photographs: python -m scripts.measure_parity FOLDER, which holds data/demo/*.jpg
cards: $(STAMP)  ## count new and changed networks, and write docs/models
	@OMP_NUM_THREADS=1 $(BIN)/python -m scripts.measure_counts
	@$(BIN)/python -m scripts.make_model_cards

constraints: $(STAMP)  ## move every pin to the newest release that fits
	@echo "Resolving into constraints.txt; run make test afterwards"
	@echo uv | $(BIN)/uv pip compile --quiet --upgrade --python $(BIN)/python --all-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-package visiongraft --output-file constraints.txt pyproject.toml -

clean:  ## remove .venv, caches and builds; runs/ stays
	@rm -rf $(VENV) .cache build dist
	@find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

# uv does the installing; pip only has to bring uv.
$(STAMP): pyproject.toml constraints.txt
	@release=$$($(PYTHON) -c '$(RELEASE_OF_PYTHON)' 2>&1) || { echo "visiongraft needs Python 3.11 or newer, and \
	$(PYTHON) is: $$release. Name another one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if ! $(BIN)/python -m uv --version > /dev/null 2>&1; then \
		echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@echo "Installing PyTorch and the rest into $(VENV) (gigabytes on Linux; this is done once)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@
