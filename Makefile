# The door to the project. `make` says what is behind it.
#
# Needs a Python >= 3.11 that can make virtual environments, and nothing else: everything is installed into
# .venv, once, and again when pyproject.toml changed. The stamp files in .venv remember what is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
COMMA := ,

export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test cover fuzz peers check lint types imports bench format clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  Variables: PYTHON=python3.12 (when .venv is made), ARGS='-k lease' (test), ROW=leases (bench)"

demo: $(VENV)/.stamp-run ## Look at and control real processes through rpcx, in under a minute
	$(BIN)/python -m examples.process_control

test: $(VENV)/.stamp-test peers $(VENV)/.stamp-kerberos ## Run the tests (ARGS='...' goes to pytest)
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 $(ARGS)

# Layers without I/O are covered whole, branches too, by their own tests; what calls mean at least to this part of 100.
# Few examples and no bombs: they reach nothing else, and tracing them takes minutes.
FLOOR := 95
COVER = rm -f build/coverage*; mkdir -p build; \
	HYPOTHESIS_PROFILE=cover $(BIN)/python -m coverage run -m pytest -q -n logical --maxprocesses 4 -k 'not bomb' $(2); \
	$(BIN)/python -m coverage combine -q; \
	$(BIN)/python -m coverage report --include='$(1)' --show-missing --skip-covered --fail-under=$(3)
cover: $(VENV)/.stamp-test ## Hold what the tests of each layer cover of it
	@$(call COVER,rpcx/protocol/*,tests/protocol,100)
	@$(call COVER,rpcx/lifetime/*,tests/lifetime,100)
	@$(call COVER,rpcx/sinks/*$(COMMA)rpcx/messages.py,tests/sinks tests/test_messages.py,100)
	@$(call COVER,rpcx/stubs/*,tests/stubs,100)
	@$(call COVER,rpcx/remoting/*$(COMMA)rpcx/aio.py$(COMMA)rpcx/batches.py$(COMMA)rpcx/testing.py$(COMMA)rpcx/conformance/*,tests/remoting tests/conformance tests/test_aio.py tests/test_testing.py,$(FLOOR))

# Programs that tests talk to and pip does not have. Without them those tests are skipped, which CI does not accept.
# Mono's SOAP formatter is a package of its own, which a Mono that is there may lack.
MONO := mono-runtime mono-mcs libmono-system-runtime4.0-cil libmono-system-runtime-serialization-formatters-soap4.0-cil
SOAP := lib/mono/4.5/System.Runtime.Serialization.Formatters.Soap.dll
KERBEROS := krb5-kdc krb5-admin-server krb5-user libkrb5-dev gcc
peers: ## Install the programs that tests talk to (apt, as root)
	@has() { for name; do PATH="$$PATH:/usr/sbin:/sbin" command -v "$$name" >/dev/null || return 1; done; }; \
	missing=(); \
	has mono mcs && [ -e "$$(dirname "$$(command -v mono)")/../$(SOAP)" ] || missing+=($(MONO)); \
	has krb5kdc kadmin.local kinit krb5-config gcc || missing+=($(KERBEROS)); \
	if [ "$${#missing[@]}" = 0 ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; \
	else echo "tests with these are skipped: apt-get install $${missing[*]}"; fi

fuzz: $(VENV)/.stamp-test ## Look for bytes that break a parser, a minute each (TARGET=... for one)
	@for target in $(or $(TARGET),frames handshake welcome msgpack json url record token envelope card tls guest statement nrbf dotnet soap http pyro pyro-answers pyro-values endpoint); do \
	  $(BIN)/python -m tests.fuzz $$target -max_total_time=60 -print_final_stats=1 || exit 1; done

check: lint types imports ## Everything that reads the code without running it

lint: $(VENV)/.stamp-check
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(VENV)/.stamp-check
	$(BIN)/python -m mypy
	$(BIN)/python -m pyright

imports: $(VENV)/.stamp-check
	$(BIN)/lint-imports

bench: $(VENV)/.stamp-bench ## Measure against the peers (ROW=name for one row)
	$(BIN)/python -m benchmarks $(ROW)

format: $(VENV)/.stamp-check ## Format the code and fix what can be fixed
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean: ## Remove .venv and everything made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Dependency groups need pip >= 25.1; the one that comes with Python may be older.
$(VENV)/.stamp-made:
	@"$(PYTHON)" -c 'import sys; v = sys.version.split()[0]; sys.version_info >= (3, 11) or sys.exit(f"rpcx needs Python 3.11 or later, and {sys.executable} is {v}. Name another: make PYTHON=/path/to/python3.12")'
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.stamp-run: $(VENV)/.stamp-made pyproject.toml
	$(PIP) --editable '.[services]'
	@touch $@

# Kerberos for Python is built with the machine's library, after `peers`. Where it cannot be, tests with it are skipped.
$(VENV)/.stamp-kerberos: $(VENV)/.stamp-test
	@if ! command -v krb5-config >/dev/null; then echo "tests with Kerberos are skipped: there is no krb5-config"; \
	elif $(PIP) --editable '.[kerberos]'; then touch $@; \
	else echo "tests with Kerberos are skipped: it cannot be built here"; fi

# One stamp for each dependency group: .stamp-test, .stamp-check, .stamp-bench.
$(VENV)/.stamp-%: $(VENV)/.stamp-run
	$(PIP) --group $*
	@touch $@
