# Everything starts here: `make demo`, `make test`, `make up`. See `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Processes that run tests.
WORKERS ?= 2

export HST_ASSETS_ROOT ?= $(CURDIR)/data
export DAGSTER_HOME ?= $(CURDIR)/data/deployment

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(INSTALLED): requirements.lock pyproject.toml
	@for candidate in python3 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$${python:-}" ]; then echo "Python 3.11 or later is needed"; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$python --version): one to three minutes"; \
	$$python -m venv --clear $(VENV)
	@# uv, itself from the lock, installs in a sixth of pip's time; pip does it where uv cannot.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@$(BIN)/uv pip install --no-config --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "Compiling"
	@# Without bytecode every process parses drizzlepac again: 18 s instead of 5 s.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib hst_assets || true
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Set up .venv from the lock

.PHONY: demo
demo: $(INSTALLED) ## Simulate a small campaign, run the whole graph on it, compare with the truth
	@$(BIN)/hst-assets demo

.PHONY: demo-archive
demo-archive: $(INSTALLED) ## The same from a stand-in of MAST that fails now and then, by name and in one command
	@$(BIN)/python -m hst_assets_tests.stand_ins.archive_demo

.PHONY: up
up: $(INSTALLED) ## The web UI on 127.0.0.1:3000 (or PORT=...), with the daemon that runs sensors and schedules
	@$(BIN)/hst-assets up $(if $(PORT),--port $(PORT))

.PHONY: test
test: $(INSTALLED) ## The whole test suite (VERBOSE=1 names each test; WORKERS=2 processes at a time)
	@# xdist 3.8 waits for ever after it has replaced a worker that crashed: it shall replace none.
	@$(BIN)/python -m pytest $(if $(VERBOSE),-v) -n $(WORKERS) --max-worker-restart 0 --dist loadgroup --no-loadscope-reorder \
	  --durations=40 hst_assets_tests

.PHONY: lint
lint: $(INSTALLED) ## Formatting, lint, spelling, docstrings, types, import walls
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/codespell
	@$(BIN)/numpydoc lint $$(find hst_assets -name '*.py')
	@$(BIN)/mypy
	@$(BIN)/lint-imports --config setup.cfg

.PHONY: hooks
hooks: $(INSTALLED) ## Look at each commit before it is made (.pre-commit-config.yaml)
	@$(BIN)/pre-commit install

.PHONY: coverage
coverage: $(INSTALLED) ## The test suite with the share of lines and branches that it runs
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder hst_assets_tests
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: fingerprints
fingerprints: $(INSTALLED) ## Renew the fingerprints of the stages' code; UNCHANGED="stage ..." or all: same results
	@$(BIN)/python -m hst_assets_tests.fingerprints $(if $(UNCHANGED),--unchanged $(UNCHANGED))

.PHONY: docs
docs: $(INSTALLED) ## Build the documentation into docs/_build/html
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "the pages begin at $(CURDIR)/docs/_build/html/index.html"

.PHONY: pictures
pictures: $(INSTALLED) ## Take the documentation's pictures anew from the demo (needs Chromium, and `make demo` before)
	@PYTHONPATH=. $(BIN)/python docs/_pictures/take.py

.PHONY: first-hour
first-hour: $(INSTALLED) ## Run the commands of the guide's first hour on the demo's exposures (needs `make demo` before)
	@PYTHONPATH=. $(BIN)/python docs/_transcript/check.py

.PHONY: lock
lock: $(INSTALLED) ## Resolve every dependency anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --extra celery --extra jhat --extra k8s --extra parquet --extra s3 --group dev --group docs pyproject.toml --output-file requirements.lock

# Some fast tests that touch each library, in an environment of its own without this one's lock.
PROBE := hst_assets_tests/settings hst_assets_tests/exposures hst_assets_tests/astrometry/test_gate.py \
  hst_assets_tests/orchestration/test_definitions.py hst_assets_tests/orchestration/test_unchanged.py \
  hst_assets_tests/orchestration/test_run_target.py hst_assets_tests/orchestration/test_web_server.py \
  hst_assets_tests/test_isolation.py

.PHONY: oldest
oldest: $(INSTALLED) ## Try the oldest dependencies that pyproject.toml allows
	@$(MAKE) --no-print-directory probe RESOLUTION=lowest-direct

.PHONY: newest
newest: $(INSTALLED) ## Try the newest dependencies that pyproject.toml allows
	@$(MAKE) --no-print-directory probe RESOLUTION=highest

.PHONY: probe
probe: $(INSTALLED)
	@rm -rf build/$(RESOLUTION); mkdir -p build/$(RESOLUTION)
	@$(BIN)/uv pip compile --quiet --upgrade --no-header --resolution $(RESOLUTION) \
	  --python $(BIN)/python --extra celery --extra jhat --extra k8s --extra parquet --extra s3 pyproject.toml --output-file build/$(RESOLUTION)/all.txt
	@$(BIN)/uv venv --quiet --python $(BIN)/python build/$(RESOLUTION)/venv
	@$(BIN)/uv pip install --no-config --quiet --python build/$(RESOLUTION)/venv/bin/python \
	  --requirements build/$(RESOLUTION)/all.txt hypothesis pytest pytest-timeout pytest-xdist --editable .
	@grep -E '^[a-z]' build/$(RESOLUTION)/all.txt | paste -sd ' '
	@build/$(RESOLUTION)/venv/bin/python -m pytest -n 0 -q $(PROBE)

.PHONY: clean
clean: ## Remove the environment and what was built (never data/)
	rm -rf $(VENV) docs/_build build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
