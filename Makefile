# All targets run in .venv, which is created on first use. A stamp file per extra avoids running pip
# again until pyproject.toml changes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
# Two concurrent runs of pip in one environment break it.
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGE := trio_realtime
CODE := $(wildcard $(PACKAGE) pytest_trio_realtime tests benchmarks examples)
# Modules whose methods users await.
SURFACE := $(wildcard $(PACKAGE)/*.py $(PACKAGE)/transports/*.py $(PACKAGE)/local/server.py \
  $(PACKAGE)/session/session.py $(PACKAGE)/session/ending_methods.py \
  $(PACKAGE)/session/audio_methods.py $(PACKAGE)/session/response_handle.py $(PACKAGE)/session/consumers/bus.py)

.PHONY: help demo test test-fast test-all check lint ruff flake8-async types docs bench bench-results peers interop format clean

help:
	@echo 'make demo       run a call with a voice agent; needs no API key'
	@echo 'make test       run all tests and measure branch coverage; takes about 15 minutes'
	@echo 'make test-fast  run the tests that take about a minute together'
	@echo 'make test-all   run the tests without processes and sockets on each installed Python from 3.11 to 3.14'
	@echo 'make check      run lint and types'
	@echo 'make lint       run ruff, the format check and flake8-async'
	@echo 'make types      run mypy and pyright in strict mode, and check the public types'
	@echo 'make docs       build the documentation and run its examples; warnings are errors'
	@echo 'make bench      measure sessions, and compare them with other clients'
	@echo 'make bench-results  the same, and write the figures and the plots that the documentation shows'
	@echo 'make peers      install the clients of other projects that make bench compares with, from the package index'
	@echo 'make interop    test the clients of other projects with the local server; needs the package indexes'
	@echo 'make format     fix and format the code with ruff'
	@echo 'make clean      delete everything that make created'
	@echo
	@echo 'The first run of a target installs what it needs into $(VENV), from the package index.'

demo: $(VENV)/.stamp-cli
	$(BIN)/trio-realtime demo

# Two processes share the tests in virtual time, which also measure the coverage. The others use processes, sockets
# and real time: they run alone, and a third slower if their coverage were measured too.
test: $(VENV)/.stamp-test
	@echo 'running all tests; this takes about 15 minutes. make test-fast takes one minute'
	$(BIN)/python -m pytest --cov --numprocesses 2 -m 'not slow'
	$(BIN)/python -m pytest -m slow

# Without child processes, real sockets and property-based tests.
test-fast: $(VENV)/.stamp-test
	$(BIN)/python -m pytest --numprocesses 2 -m 'not slow and not hypothesis'

# tox installs the library into an environment for each version, in .tox, and skips the missing versions.
test-all: $(VENV)/.stamp-matrix
	$(BIN)/tox run

check: lint types

lint: ruff flake8-async

ruff: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

flake8-async: $(VENV)/.async-everywhere $(VENV)/.async-library $(VENV)/.async-surface

# The tests are checked too, so their dependencies must be installed. So are the programs of the documentation.
types: $(VENV)/.stamp-test $(VENV)/.stamp-lint
	$(BIN)/python tests/support/page_programs.py build/page_programs
	$(BIN)/mypy --strict $(CODE) build/page_programs
	$(BIN)/pyright
	$(BIN)/pyright --project build/page_programs
	# --verifytypes finds the package with the first python on PATH.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes $(PACKAGE) --ignoreexternal

docs: $(VENV)/.stamp-docs
	$(BIN)/sphinx-build -q -b html -n -W --keep-going docs docs/_build/html
	$(BIN)/sphinx-build -q -b doctest -n -W --keep-going docs docs/_build/doctest
	@echo 'built docs/_build/html/index.html'

# About half an hour. The soak is not among them: it finds faults and compares nothing.
bench: $(VENV)/.stamp-bench
	$(BIN)/python -m benchmarks all

bench-results: $(VENV)/.stamp-bench
	$(BIN)/python -m benchmarks all --results benchmarks/results
	$(BIN)/python -m benchmarks.plots

# Each peer is installed into an environment of its own, in .bench, with the versions of benchmarks/peers/pins.py.
peers: $(VENV)/.stamp-bench
	$(BIN)/python -m benchmarks peers

# The clients are installed into environments of their own, in .interop. CLIENTS selects some of them.
interop: $(VENV)/.stamp-interop
	PYTHONPATH=tests $(BIN)/python -m interop $(CLIENTS)

format: $(VENV)/.stamp-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .tox .interop .bench build dist docs/_build htmlcov .coverage .coverage.* \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- flake8-async --------------------------------------------------------------------------------
# flake8-async is slow, so each run checks only the files that changed since the last successful one.
# It checks all files if the rules changed, or if the tools were installed again.
define run_flake8_async
@echo "flake8-async $(1)"
@printf '%s\n' $(filter %.py,$(if $(filter-out %.py,$?),$^,$?)) \
  | xargs -P 4 -n 16 $(BIN)/flake8-async $(2)
@touch $@
endef

# Each file is checked once, with the rules of the narrowest group that it belongs to.
LIBRARY := $(filter-out $(SURFACE),$(shell find $(PACKAGE) -name '*.py'))
OTHER_CODE := $(shell find $(filter-out $(PACKAGE),$(CODE)) -name '*.py')

$(VENV)/.async-everywhere: $(OTHER_CODE) $(VENV)/.stamp-lint Makefile
	$(call run_flake8_async,(tests, benchmarks and examples),$(ASYNC_EVERYWHERE))

$(VENV)/.async-library: $(LIBRARY) $(VENV)/.stamp-lint Makefile
	$(call run_flake8_async,(library),$(ASYNC_LIBRARY))

$(VENV)/.async-surface: $(SURFACE) $(VENV)/.stamp-lint Makefile
	$(call run_flake8_async,(modules whose methods users await),$(ASYNC_SURFACE))

# Rules are enabled by name, so that a new version of flake8-async cannot break the build.
#   100-108  scopes without a checkpoint, yield in a nursery, unshielded await in finally,
#            swallowed Cancelled, unawaited calls
#   112-113  unnecessary nurseries, start_soon instead of start
#   115-121  sleep(0), sleep(math.inf), async with inside an async generator, await in except,
#            return from a nursery
#   123      raising a child of an ExceptionGroup without copying it
#   2xx      blocking calls
ASYNC_COMMON := ASYNC100,ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC105,ASYNC106,ASYNC108,ASYNC112,ASYNC113,ASYNC115,ASYNC116,ASYNC118,ASYNC119,ASYNC120,ASYNC121,ASYNC123,ASYNC210,ASYNC211,ASYNC212,ASYNC220,ASYNC221,ASYNC222,ASYNC230,ASYNC231,ASYNC232,ASYNC240,ASYNC250,ASYNC251,ASYNC300
#   900      async generators only as context managers
ASYNC_EVERYWHERE := --enable=$(ASYNC_COMMON),ASYNC900 \
  --transform-async-generator-decorators=fixture,pytest.fixture
# Also in the library:
#   111      a resource that closes before the nursery whose tasks use it. Tests do this on purpose,
#            to check the exception that a task gets when its session ends.
ASYNC_LIBRARY := --enable=$(ASYNC_COMMON),ASYNC900,ASYNC111
# Also in the modules of SURFACE:
#   910-911  every path has a checkpoint: fairness and cancellation depend on it.
# Not in private functions, where an extra checkpoint slows down the audio path, nor in tests and test
# doubles, where a tool may return at once.
ASYNC_SURFACE := --enable=$(ASYNC_COMMON),ASYNC900,ASYNC111,ASYNC910,ASYNC911

# --- the environment -----------------------------------------------------------------------------

$(VENV)/.stamp-venv:
	@for python in python3.11 python3 python3.14 python3.13 python3.12; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$($$python --version)"; \
	    "$$python" -m venv $(VENV); \
	    touch $@; \
	    exit 0; \
	  fi; \
	done; \
	echo 'Found no Python 3.11 or newer with the venv module.' >&2; \
	echo 'On Debian or Ubuntu, run: apt-get install python3 python3-venv' >&2; \
	exit 1

$(VENV)/.stamp-%: pyproject.toml $(VENV)/.stamp-venv
	$(PIP) install --editable '.[$*]'
	@touch $@
