# What a newcomer runs. Every target makes what it needs; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help demo test soak check format lock bench docs clean
help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "ev_sessions needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Run the whole way once, against a simulated fleet of 200 vehicles and 30 days
	$(BIN)/ev-sessions demo

test: $(INSTALLED) ## Run the tests
	$(BIN)/pytest -n 2

soak: $(INSTALLED) ## Live through 60 simulated days of trouble and compare every table with the truth (some 15 minutes)
	$(BIN)/python -m ev_sessions_tests.soak

check: $(INSTALLED) ## Lint, formatting, types, and whether the Dagster definitions load
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs

format: $(INSTALLED) ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED) ## Resolve pyproject.toml anew into requirements.lock (one file for Python 3.11 to 3.13)
	$(BIN)/uv pip compile pyproject.toml --extra dev --constraint constraints.txt --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade --quiet --output-file requirements.lock

bench: $(INSTALLED) ## Measure, print the ratios and write benchmarks/results.md (several minutes)
	$(BIN)/python -m benchmarks

docs: $(INSTALLED) ## Write the pages of docs/ that are made from the code
	$(BIN)/python -m ev_sessions.dictionary

clean: ## Remove the virtual environment and caches (data in .ev_sessions stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
