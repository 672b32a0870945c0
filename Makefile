# Everything a newcomer types. `make demo` and `make test` set up what they need; both are quick when run again.

# The first Python of 3.11 or newer on PATH. `make PYTHON=/path/to/python3.12 demo` chooses another.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$each"; break; }; done)
VENV := .venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := $(VENV)/bin
LISTEN ?= 127.0.0.1:8787
DATA ?= .holdfast
ACCOUNT := examples/account/build/account.wasm

# Bytecode is kept, whatever the machine says: else each process of a host compiles the product when it starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-long test-unit costs lint format docs screenshots bench packages postgres builds dist newcomer coverage hostile crash faults install install-dev install-bench install-docs install-dist apt clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       build examples/account, start the host, deploy, show what to try, serve until Ctrl-C"
	@echo "make test       lint, types, layers and the quick tests: all but those that cost more than two seconds (six minutes)"
	@echo "make test-long  the other tests that a change must pass: kills, attacks, faults, whole examples (forty minutes)"
	@echo "make test-unit  lint, and the quick tests that need no running host"
	@echo "make costs      the quick tests, what each costs in processor time, and which cost too much to be quick"
	@echo "make lint       ruff, mypy and import-linter alone"
	@echo "make format     let ruff format and mend what it can"
	@echo "make hostile    the whole corpus of hostile components and guests, and fuzzers; SEED=n repeats a run (eight minutes)"
	@echo "make faults     failing disks, damaged files, jumping clocks, as a table (three minutes)"
	@echo "make crash      kills at every step of a commit, and power cuts; SEED=n repeats a run (ten minutes)"
	@echo "make postgres   the guarantees once more, over hosts whose storage is on PostgreSQL (three minutes)"
	@echo "make packages   builds the popular packages of docs/packages.md from the index and tries each (ten minutes)"
	@echo "make builds     the real builds that make test leaves out, because it does one like them (four minutes)"
	@echo "make dist       wheel and sdist, judged, installed from the index with and without the host, and used (a minute)"
	@echo "make newcomer   every command from nothing to a deployed, monitored, backed-up chat, measured; WRITE=1 into its page"
	@echo "make coverage   lines and branches that tests/unit and tests/contract cover in this process, as a table (ten minutes)"
	@echo "make bench      the measurements of tests/benchmarks; QUICK=1 short ones, WRITE=1 into the README, ONLY=flat one section"
	@echo "make screenshots  every page of the inspector in a real browser, as pictures, and how soon it can be used (a minute)"
	@echo "make docs       the site, from the pages of docs/, into build/site; fails for a link that leads nowhere"
	@echo "make apt        what a bare Debian or Ubuntu needs first, with what tests and bench use (asks for sudo, unless you are root)"
	@echo "make clean      remove the virtual environment and what builds leave behind; never the data of a host"

demo: $(ACCOUNT)
	@$(BIN)/python tools/demo.py --listen $(LISTEN) --data $(DATA) $(ACCOUNT)

# Built anew when something that goes into it has changed.
$(ACCOUNT): $(wildcard examples/account/*.toml examples/account/src/*.py \
		guest_sdk/holdfast/*.py guest_sdk/holdfast/*/*.py host/holdfast_host/build/*.py host/holdfast_host/build/*/*.py wit/*.wit) pyproject.toml | $(VENV)/installed
	@$(BIN)/holdfast build examples/account

# Two tests at a time, then one by one those that measure time. Where at most five of a run fail, each of them is run
# a second time, alone: what passes then does not fail the run, but is named at its end, to be mended.
BESIDE := -n 2 --dist loadfile --no-loadscope-reorder
QUICK_MAX_S := 3
# What runs alone is in few files: the others need not be loaded for it.
ALONE = $(shell grep -rl --include="test_*.py" "mark\.alone" tests)

test: lint
	$(BIN)/python -m tests.second_look $(BESIDE) -m "not slow and not alone and not packages and not builds and not dist"
	$(BIN)/python -m tests.second_look -m "alone and not slow" $(ALONE)

test-long: install-dev
	$(BIN)/python -m tests.second_look $(BESIDE) -m "slow and not alone and not packages and not builds and not dist"
	$(BIN)/python -m tests.second_look -m "alone and slow" $(ALONE)

test-unit: lint
	$(BIN)/python -m pytest -q $(BESIDE) -m "not slow and not alone" tests/unit

costs: install-dev
	$(BIN)/python -m pytest -q $(BESIDE) -m "not slow and not alone and not packages and not builds and not dist" \
		-p tests.costs --quick-max-s $(QUICK_MAX_S)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

postgres: install-dev
	$(BIN)/python -m tests.harness.over_postgres

hostile: install-dev
	REPEATS=all $(BIN)/python -m pytest -q -n 2 -m repeats --ignore tests/crash
	$(BIN)/python -m tests.hostile $(SEED)

faults: install-dev
	$(BIN)/python -m tests.faults

crash: install-dev
	REPEATS=all $(BIN)/python -m pytest -q -m repeats tests/crash
	$(BIN)/python -m tests.crash $(SEED)

packages: install-dev
	$(BIN)/python -m pytest -q -n 2 -m packages tests/packages

# A test that traces bytecode itself, or counts what passes, may fail while it is traced: the table comes all the same.
coverage: install-dev
	-$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not alone" --cov \
		--cov-report=json:.pytest_cache/coverage.json tests/unit tests/contract
	$(BIN)/python -m tests.covered .pytest_cache/coverage.json

# What the tests judge they build themselves; what is built of the same sources is the same, and left in dist/.
dist: install-dist
	$(BIN)/python -m pytest -q -m dist tests/acceptance/test_distribution.py
	rm -rf dist && $(BIN)/python -m build --no-isolation

newcomer: install-dist
	rm -rf dist && $(BIN)/python -m build --no-isolation --wheel
	$(BIN)/python tools/newcomer.py $(if $(WRITE),--write)

builds: install-dev
	$(BIN)/python -m pytest -q -n 2 -m builds tests

screenshots: install-dev
	$(BIN)/python -m tests.screenshots

bench: install-bench
	$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(WRITE),--write) $(if $(ONLY),--only "$(ONLY)") \
		$(if $(BEFORE),--before "$(BEFORE)") $(if $(ON_DISK),--on-disk "$(ON_DISK)")

docs: install-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the site is in build/site"

# A stamp holds what was installed: it is made again when pyproject.toml changes, and costs nothing otherwise.
install: $(VENV)/installed
install-dev: $(VENV)/installed-dev
install-bench: $(VENV)/installed-bench
install-docs: $(VENV)/installed-docs
install-dist: $(VENV)/installed-dist

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@if [ -e $(VENV)/installed-dev ] && [ $(VENV)/installed-dev -nt pyproject.toml ]; then :; else \
		echo "installing holdfast and what it needs into $(VENV) ..."; \
		$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[host]"; \
	fi
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing holdfast and what its tests need into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev]"
	@touch $@

$(VENV)/installed-bench: pyproject.toml $(VENV)/installed-dev
	@echo "installing what the benchmarks need into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev,bench]"
	@touch $@

$(VENV)/installed-docs: pyproject.toml | $(BIN)/python
	@echo "installing what builds the site into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[docs]"
	@touch $@

$(VENV)/installed-dist: pyproject.toml $(VENV)/installed-dev
	@echo "installing what builds wheel and sdist into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[dev,dist]"
	@touch $@

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Holdfast needs Python 3.11 or newer, and no python3 on PATH is: install one (see 'make apt')," \
			"or name it: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu run 'make apt' first" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

apt:
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y --no-install-recommends python3 python3-venv curl gcc libc6-dev wrk valgrind chromium postgresql

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache examples/*/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
