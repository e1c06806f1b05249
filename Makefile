# One entry for people and for CI: `.ci/run` calls `check` and `test`, pre-commit calls `check`.
# Nothing is installed outside this directory, except Debian packages where `test-packages` may do so.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The interpreter to build for, and where its environment lives. Others are found by `test-others`.
PYTHON ?= python3
VENV ?= .venv
SUPPORTED := 3.11 3.12 3.13 3.14
# How long `fuzz` and `soak` run, each.
SECONDS_EACH ?= 600
# Tests that run at the same time; 0 runs them one after the other, which --pdb needs. They wait most of their time.
JOBS ?= 4
# Frameworks that are large to install are tested on one Python: that of .venv. Elsewhere their tests are deselected.
HEAVY ?= $(if $(filter .venv,$(VENV)),yes)
# Passed on to pytest: make test-python ARGS="-k upload -x"
ARGS ?=
# make test-python FAST=1 leaves out the tests that take more than ten seconds each.
FAST ?=
SOME := $(if $(FAST), and not slow)

BIN := $(abspath $(VENV))/bin
# One build directory per interpreter: pyo3 is compiled for one at a time, and would be again at each change.
TARGET := $(if $(filter .venv,$(VENV)),target,target/$(notdir $(VENV)))
# Dependency groups of pyproject.toml, and what the expressions of pytest's -m end with.
GROUPS := dev $(if $(HEAVY),heavy)
LIGHT := $(if $(HEAVY),, and not heavy)
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml 2>/dev/null) Cargo.toml $(wildcard Cargo.lock)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# --- Set-up -----------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.deps $(VENV)/.native ## Make the virtual environment and build the native module (dev profile)

$(VENV)/.deps: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hostler needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'  # the first that knows --group
	$(BIN)/python -m pip install --quiet $(addprefix --group ,$(GROUPS))
	@touch $@

# The module goes into src/hostler under a name that carries the interpreter's version; the package is installed as
# a link to src/. So only a change in Rust (or in how it is built) needs a new build.
$(VENV)/.native: $(VENV)/.deps $(RUST_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) CARGO_TARGET_DIR=$(TARGET) $(BIN)/maturin develop --quiet >/dev/null
	@touch $@

.PHONY: quick
quick: setup test-rust ## In a minute or so: the Rust tests, the unit tests, the conformance tests
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow" tests/unit tests/conformance

.PHONY: test-packages
test-packages:
	@scripts/install-test-packages

# --- Demo -------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv-demo/.ready ## Release build, then the demo site and its JSON API under `hostler serve`
	@scripts/demo

# As a user installs it: a release wheel in an environment of its own.
.venv-demo/.ready: pyproject.toml $(RUST_SOURCES) $(shell find src -name '*.py' 2>/dev/null) \
                   examples/demo/requirements.txt examples/flask_api/requirements.txt
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --upgrade pip
	@echo "Building the release wheel: a minute or two, the first time."
	.venv-demo/bin/python -m pip install --quiet --force-reinstall --no-deps .
	.venv-demo/bin/python -m pip install --quiet -r examples/demo/requirements.txt -r examples/flask_api/requirements.txt
	@touch $@

# --- Tests ------------------------------------------------------------------------------------------------------

.PHONY: test
test: test-packages test-rust test-python test-others ## Set-up and every test, on every supported Python found here

# Without its "python" feature the native crate links no interpreter, so plain test binaries run.
.PHONY: test-rust
test-rust: ## Only the Rust tests
	cargo test --quiet --workspace --no-default-features

# 5: ARGS picks none of these. With AGAIN=1, as in CI, at most five tests that failed run once more, with nothing beside
# them, and are named: a machine that stood still must not throw a change away, and an unsteady test must be seen.
AGAIN ?=
or_again = { code=$$?; [ $$code = 5 ] || { [ -n "$(AGAIN)" ] && [ $$code = 1 ] && $(BIN)/python scripts/again.py "$(1)$(LIGHT)$(SOME)"; }; }

.PHONY: test-python
test-python: setup ## Only the Python tests; ARGS="-k upload" picks some
	@echo "== $$($(BIN)/python --version)"
	@CARGO_TARGET_DIR=$(abspath $(TARGET)) $(BIN)/python -m pytest $(if $(AGAIN),--cache-clear) -n $(JOBS) --dist worksteal -m "not alone$(LIGHT)$(SOME)" --durations=20 $(ARGS) || $(call or_again,not alone)
	@$(BIN)/python -m pytest $(if $(AGAIN),--cache-clear) -m "alone$(LIGHT)$(SOME)" $(ARGS) || $(call or_again,alone)

.PHONY: test-others
test-others:
	@own=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for version in $(SUPPORTED); do \
	  [ "$$version" != "$$own" ] || continue; \
	  if python=$$(scripts/find-python $$version); then \
	    $(MAKE) test-python PYTHON="$$python" VENV=.venv-$$version; \
	  else \
	    echo "== Python $$version is not here: not tested"; \
	  fi; \
	done

# --- Static checks ----------------------------------------------------------------------------------------------

.PHONY: check
check: check-rust check-python ## Every static check: format, lint, types, stub, import direction, generated pages

.PHONY: check-rust
check-rust: $(VENV)/.deps
	cargo fmt --all --check
	PYO3_PYTHON=$(BIN)/python cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet --workspace --all-targets --no-default-features -- -D warnings

.PHONY: check-python
check-python: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src bench tests
	cd src && $(BIN)/python -m mypy.stubtest hostler._native
	$(BIN)/lint-imports
	$(BIN)/python -m hostler.config.reference --check docs/settings.md
	$(BIN)/python -m hostler.cli.gunicorn.page --check docs/migrate/gunicorn.md

.PHONY: format
format: $(VENV)/.deps ## Format everything, and apply the safe fixes
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

.PHONY: docs
docs: setup ## Write the generated pages again
	$(BIN)/python -m hostler.config.reference docs/settings.md
	$(BIN)/python -m hostler.cli.gunicorn.page docs/migrate/gunicorn.md

# --- Wheels -----------------------------------------------------------------------------------------------------

.PHONY: wheels
wheels: setup ## Release wheels for each Python found here, into dist/; one is installed and serves a Django project
	scripts/build-wheels $(PYTHON) $(SUPPORTED)
	WHEELS=dist $(BIN)/python -m pytest tests/integration/test_wheel.py

# --- Measuring --------------------------------------------------------------------------------------------------

.PHONY: bench
bench: ## Measure against the peers; tables go to bench/results
	bench/run

.PHONY: fuzz
fuzz: ## Fuzz each target for SECONDS_EACH seconds (default 600)
	fuzz/run http1 $(SECONDS_EACH)
	fuzz/run connection $(SECONDS_EACH)
	fuzz/run websocket $(SECONDS_EACH)
	fuzz/run proxy_protocol $(SECONDS_EACH)

.PHONY: soak
soak: setup ## A million hand-overs between threads, five minutes of them between workers, 100 reloads and 40 upgrades under load, 300 killed workers, then mixed and malicious load for SECONDS_EACH seconds; memory stays where it is
	$(BIN)/python -m tests.soak.handovers
	$(BIN)/python -m tests.soak.moves
	$(BIN)/python -m tests.soak.reloads
	$(BIN)/python -m tests.soak.upgrades
	$(BIN)/python -m tests.soak.kills
	$(BIN)/python -m tests.soak $(SECONDS_EACH)

.PHONY: clean
clean: ## Remove everything that was built, and the environments
	rm -rf target .venv .venv-* dist build fuzz/target bench/.build bench/.venv* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -f src/hostler/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
