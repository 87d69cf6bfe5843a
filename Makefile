# Everything runs in .venv, which is made on first use. A stamp file per extra keeps the second run
# quick: pip is asked again only when pyproject.toml changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
# Two pips in one environment at the same time break it.
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGE := trio_realtime
# Folders that may not be there yet are left out.
CODE := $(wildcard $(PACKAGE) tests benchmarks examples)

.PHONY: help demo test lint types docs bench format clean

help:
	@echo 'make demo    talk to a voice agent, here and now: no key, no network'
	@echo 'make test    the tests, with branch coverage'
	@echo 'make lint    ruff, the formatter and flake8-async'
	@echo 'make types   mypy and pyright, both strict, and the types of the public names'
	@echo 'make docs    the documentation with its examples run, warnings are errors'
	@echo 'make bench   the benchmark of one burst of audio'
	@echo 'make format  let ruff mend what it can'
	@echo 'make clean   remove what make made'

demo: $(VENV)/.stamp-cli
	$(BIN)/trio-realtime demo

test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest --cov

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo 'flake8-async: all code, the library, the checkpoints of the public surface'
	@$(BIN)/flake8-async $(ASYNC_EVERYWHERE) $(shell find $(CODE) -name '*.py')
	@$(BIN)/flake8-async $(ASYNC_LIBRARY) $(shell find $(PACKAGE) -name '*.py')
	@$(BIN)/flake8-async $(ASYNC_SURFACE) $(SURFACE)

# Tests are checked too, so what they import must be there.
types: $(VENV)/.stamp-test $(VENV)/.stamp-lint
	$(BIN)/mypy --strict $(CODE)
	$(BIN)/pyright
	# This one asks the first python on the PATH where the package is.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes $(PACKAGE) --ignoreexternal

docs: $(VENV)/.stamp-docs
	$(BIN)/sphinx-build -q -b html -n -W --keep-going docs docs/_build/html
	$(BIN)/sphinx-build -q -b doctest -n -W --keep-going docs docs/_build/doctest
	@echo 'documentation: docs/_build/html/index.html'

bench: $(VENV)/.stamp-cli
	$(BIN)/python -m benchmarks burst

format: $(VENV)/.stamp-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist docs/_build htmlcov .coverage .coverage.* \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- flake8-async --------------------------------------------------------------------------------
# Named rules only, so that a new version of the checker cannot break the build by itself.
#   100-108  scopes without a checkpoint, yield in a nursery, unshielded await in finally,
#            swallowed Cancelled, unawaited calls
#   112-113  needless nurseries, start_soon for start
#   115-121  sleep(0), sleep(math.inf), async with inside an async generator, await in except,
#            return out of a nursery
#   123      a child of an ExceptionGroup raised without copying
#   2xx      blocking calls
ASYNC_COMMON := ASYNC100,ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC105,ASYNC106,ASYNC108,ASYNC112,ASYNC113,ASYNC115,ASYNC116,ASYNC118,ASYNC119,ASYNC120,ASYNC121,ASYNC123,ASYNC210,ASYNC211,ASYNC212,ASYNC220,ASYNC221,ASYNC222,ASYNC230,ASYNC231,ASYNC232,ASYNC240,ASYNC250,ASYNC251,ASYNC300
#   900      an async generator is a context manager's, nothing else
ASYNC_EVERYWHERE := --enable=$(ASYNC_COMMON),ASYNC900 \
  --transform-async-generator-decorators=fixture,pytest.fixture
# In the library, besides:
#   111      a resource that a task uses closes before its nursery. Tests do that on purpose: they
#            look at what a task is told when its session ends.
ASYNC_LIBRARY := --enable=ASYNC111
# Where users await, besides:
#   910-911  every await is a checkpoint on every path: fairness and cancellation rely on it.
# Not inside: an extra checkpoint in a private step only costs time on the audio path; nor in tests
# and doubles, where a tool may just return.
ASYNC_SURFACE := --enable=ASYNC910,ASYNC911
SURFACE := $(wildcard $(PACKAGE)/*.py $(PACKAGE)/transports/*.py $(PACKAGE)/local/server.py \
  $(PACKAGE)/session/session.py $(PACKAGE)/session/response_handle.py $(PACKAGE)/session/consumers/bus.py)

# --- the environment -----------------------------------------------------------------------------

$(VENV)/.stamp-venv:
	@for python in python3.11 python3 python3.13 python3.12; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$($$python --version)"; \
	    "$$python" -m venv $(VENV); \
	    touch $@; \
	    exit 0; \
	  fi; \
	done; \
	echo 'No python3.11 or newer with the venv module was found.' >&2; \
	echo 'On Debian or Ubuntu: apt-get install python3 python3-venv' >&2; \
	exit 1

$(VENV)/.stamp-%: pyproject.toml $(VENV)/.stamp-venv
	$(PIP) install --editable '.[$*]'
	@touch $@
