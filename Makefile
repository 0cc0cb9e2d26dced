# Only GNU make and Python 3.11 or newer must be installed; everything else goes into .venv in this folder.
# To use another Python: make test PYTHON=python3.13. To pass arguments: make test ARGS="tests/unit -x".

SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PY := $(BIN)/python

# Two workers more than there are processors (tests/conftest.py), because tests wait too, and at most four: each starts
# servers of its own. A file's tests stay together, because some of them tell one story.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test beam-test bench soak check wheel-check docs format lock clean python run-venv dev-venv

help: ## shows this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' Makefile | awk -F '|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: run-venv ## the whole scenario on embedded stores: sample media, plan, apply, plan again
	@$(PY) -m reconcile demo $(ARGS)

test: dev-venv ## all tests, on several cores
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest $(PARALLEL) $(ARGS) # the processes that tests start need not compile then

beam-test: python ## the tests of --engine beam and of Parquet reports, in an environment of their own (.venv-beam)
	@$(PYTHON) -m tools.make_venv beam
	@.venv-beam/$(notdir $(BIN))/python -m pytest -W default tests/beam tests/unit/test_inventory.py $(ARGS)

bench: dev-venv ## times whole commands and rclone's; ARGS="--sizes 1000,10000 --rounds 3", ARGS=--write for the documentation
	@$(PY) -m tests.benchmarks.table $(ARGS)

soak: dev-venv ## long runs of the fault tests, and a table of what they did; ARGS="--minutes 60"
	@$(PY) -m tests.faults.soak $(ARGS)

check: dev-venv ## format, lint, types, import layers, house, links, wheel; stops at the first that fails
	@step() { echo "check: $$1"; shift; "$$@" || { echo "make check: stopped at: $$*" >&2; exit 1; }; }; \
	step "format" $(PY) -m ruff format --check . && \
	step "lint" $(PY) -m ruff check . && \
	step "types" $(PY) -m tools.check_types && \
	step "import layers" $(BIN)/lint-imports && \
	step "house" $(PY) -m tools.check_house && \
	step "links" $(PY) -m tools.check_links && \
	step "wheel" $(PY) -m tools.check_wheel

wheel-check: dev-venv ## builds the wheel and runs it with the runtime dependencies alone
	@$(PY) -m tools.check_wheel

docs: python ## the documentation as a site, in build/site; links are checked
	@$(PYTHON) -m tools.site $(ARGS)

format: dev-venv ## formats the code and fixes what the linter can fix
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: python ## writes requirements/*.txt from pyproject.toml, and says where they install (needs uv; ARGS=--upgrade for newer versions)
	@$(PYTHON) -m tools.lock $(ARGS)

clean: ## removes .venv, .venv-docs, .venv-beam, caches, builds and the demo's folder
	@rm -rf .venv .venv-docs .venv-beam .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist demo
	@find reconcile tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

run-venv: python
	@$(PYTHON) -m tools.make_venv run

dev-venv: python
	@$(PYTHON) -m tools.make_venv dev

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "make: Python 3.11 or newer is needed, but $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	echo "      Install one, or name it: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 1; }
