# Two commands set up everything on a fresh machine: `make demo` and `make test`.
PYTHON  ?= python3.11
VENV    ?= .venv
BIN     := $(VENV)/bin
PROJECT ?= demo
PYTEST  ?= $(BIN)/python -m pytest
# A process for each core, each with its own files; whole lines use all cores by themselves.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Of 25,000 files that pip would compile few are ever imported: Python compiles those itself, if it may.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test unit conformance lint dev bench openvino arm64-root lock clean

help:  ## what each target does
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.factory: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[factory]'
	touch $@

$(VENV)/.installed: $(VENV)/.factory
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[factory,dev]'
	touch $@

install: $(VENV)/.installed  ## the environment, from the lock, with what tests and linters need

demo: $(VENV)/.factory  ## sample company, whole pipeline, publication, a site that pulls and answers
	$(BIN)/python -m pipelines.demo $(PROJECT)

test: install  ## every test
	$(PYTEST) -m "not e2e" $(PARALLEL)
	$(PYTEST) -m e2e

unit: install  ## the tests that take seconds
	$(PYTEST) -m unit $(PARALLEL)

conformance: install  ## the command line of the public tuf-conformance suite, over our client
	$(PYTEST) tests/conformance

lint: install  ## ruff and mypy strict
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

dev: install  ## Dagster and MLflow on one project, in the browser
	$(BIN)/lading dev --project $(PROJECT)

bench: install  ## the figures of docs/benchmarks.md, as ratios taken in one run
	$(BIN)/python -m benchmarks

openvino: install  ## OpenVINO into the environment, and the tests that need it
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[openvino-factory]'
	$(PYTEST) tests/quantize/test_openvino.py tests/runtimes/engine/test_openvino.py

arm64-root: install  ## what emulating an Arm processor needs, into the folder LADING_ARM64_ROOT (Debian)
	$(BIN)/python -m scripts.arm64_root "$(LADING_ARM64_ROOT)"

lock:  ## resolve again and write constraints.txt
	$(PYTHON) scripts/lock.py constraints.txt

clean:  ## remove what make made
	rm -rf $(VENV) demo demo-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
