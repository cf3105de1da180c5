# The commands of a developer; `make` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
# Twice as many workers as cores: the tests' browsers, servers and disks often wait.
WORKERS := $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)")
# The tests' database; tests with the marker `both` run on SQLite and PostgreSQL anyway.
DATABASE ?= sqlite
PYTEST = pytest -q -n $(WORKERS) --dist worksteal --database $(DATABASE)
# The tests' files are small and synced often: they are in memory, where it has room for them and
# programs may run from it.
MEMORY_FOLDER = $(shell file=$$(mktemp -p /dev/shm 2>/dev/null) && trap 'rm -f $$file' EXIT && \
	test "$$(df -k --output=avail /dev/shm | tail -1)" -gt 2000000 && \
	printf '\x23!/bin/sh\n' > $$file && chmod +x $$file && $$file 2>/dev/null && echo /dev/shm)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Without bytecode files, each program that the tests start would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help .venv demo test check format bench soak screenshots texts audit scan tools

help:  ## List the commands
	@awk -F ':.*##' '/^[a-z.]+:.*##/ {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: .venv/installed  ## Install everything into .venv, by hash from the lock file

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed: apt-get install python3, or make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv  ## Open a small ATS in the browser; AUTO=1 plays it, ATS=… another ATS, SHOW=… an earlier demo
	@$(BIN)/provider demo $(if $(SHOW),--show $(SHOW),$(if $(filter 1,$(AUTO)),--auto) $(if $(ATS),--ats $(ATS)))

test: .venv tools  ## Run all tests; fail if the core's coverage is below 96 %
	@folder=$(MEMORY_FOLDER); export TMPDIR="$${folder:-$${TMPDIR:-/tmp}}"; \
	export COVERAGE_FOLDER="$$(mktemp -d)"; trap 'rm -rf "$$COVERAGE_FOLDER"' EXIT; \
	$(BIN)/python -m $(PYTEST); \
	$(BIN)/python -m slipcover --merge "$$COVERAGE_FOLDER"/*.json --out "$$COVERAGE_FOLDER/all" \
		--skip-covered --fail-under 96

check: .venv  ## Check format, lint, types and import contracts
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: .venv  ## Format every file and fix lint
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

bench: .venv .venv-bench/installed  ## Measure speed against the goals, and record the results
	@$(BIN)/python -m tests.bench

.venv-bench/installed: requirements-bench.lock
	@echo "Installing the frameworks to compare with into .venv-bench …"
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

soak: .venv  ## Run for a long time, with injected faults
	@$(BIN)/python -m tests.endurance

screenshots: .venv tools  ## Take the README's screenshots
	@$(BIN)/python -m tests.screenshots

texts: .venv  ## Write the texts of the sources to messages.pot, and new ones to each language
	@$(BIN)/python -m tests.texts

audit: .venv  ## Look up known weaknesses of the packages; needs the network
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv --clear .venv-audit
	@.venv-audit/bin/python -m pip install --quiet pip-audit || { \
		echo "pip-audit cannot be installed: is the network there?" >&2; exit 2; }
	@$(BIN)/python -m tests.audit

scan: .venv tools  ## Run wapiti, Lighthouse and gixy, where they can be installed
	@$(BIN)/python -m tests.scan

tools:
	@test -d .tools/node_modules/tus-js-client || ! command -v npm >/dev/null || \
		npm install --silent --no-audit --no-fund --prefix .tools tus-js-client@4 || \
		echo "tus-js-client cannot be installed, so its tests are skipped: is the network there?" >&2
	@missing=; enough=; test ! -x /usr/bin/chromium || enough=yes; \
	test -x /usr/bin/chromium-headless-shell || missing="chromium-headless-shell fonts-dejavu-core"; \
	command -v redis-server valkey-server >/dev/null || { missing="$$missing redis-server"; enough=; }; \
	test -x /usr/sbin/pgbouncer || { missing="$$missing pgbouncer"; enough=; }; \
	test -x /usr/sbin/nginx || { missing="$$missing nginx-light"; enough=; }; \
	test -x /usr/bin/firefox-esr || test -x /usr/bin/firefox || { missing="$$missing firefox-esr"; enough=; }; \
	test -n "$$missing" || exit 0; \
	install="apt-get install -y --no-install-recommends"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then sudo=; \
	elif sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then sudo="sudo -n"; \
	else echo "The tests need a browser and Redis: apt-get install $$missing" >&2; \
		test -z "$${CI:-}" || test -n "$$enough"; exit; fi; \
	echo "Installing $$missing …"; \
	$$sudo apt-get update -qq || true; \
	apt-cache show chromium-headless-shell >/dev/null 2>&1 || \
		missing="$${missing/chromium-headless-shell/chromium}"; \
	apt-cache show firefox-esr >/dev/null 2>&1 || missing="$${missing/firefox-esr/}"; \
	$$sudo $$install -qq $$missing >/dev/null || { \
		echo "This command failed: $$install $$missing" >&2; \
		test -z "$${CI:-}" || test -n "$$enough"; }
