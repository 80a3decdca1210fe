# Every target builds what it needs, once. Nothing here reads `.env` but what says so.

PYTHONS ?= python3.13 python3.12 python3.11 python3.14 python3
PYTHON ?= $(shell for p in $(PYTHONS); do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
ARGS ?=
STAMP := .venv/.installed

# Demo, tests and benchmarks never see a key, a provider, a database or `.env`: they cannot spend.
CLEAN := env -i HOME="$(HOME)" PATH="$(PATH)" TERM="$(TERM)" LANG="$(LANG)" LC_ALL="$(LC_ALL)" TMPDIR="$(TMPDIR)" \
	COLUMNS="$(COLUMNS)" CI="$(CI)" ONETAKE_IGNORE_ENV_FILE=1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format record bench clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(STAMP) ## the story end to end, no account needed
	@$(CLEAN) .venv/bin/onetake demo

test: $(STAMP) ## the whole suite, offline, in random order
	@$(CLEAN) .venv/bin/python -m pytest $(ARGS)

lint: $(STAMP) ## ruff and mypy, strict
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: $(STAMP) ## what lint wants, where a machine can do it
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

record: $(STAMP) ## record the cassettes again, against the simulator; REAL=1 with your keys, after asking
	@if [ "$(REAL)" = 1 ]; then .venv/bin/python -m tests.record --real; \
	else $(CLEAN) .venv/bin/python -m tests.record; fi

bench: $(STAMP) ## the numbers we promise
	@$(CLEAN) .venv/bin/python -m benchmarks $(ARGS)

clean: ## forget the virtual environment and the caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist

$(STAMP): pyproject.toml requirements.lock
	@if [ -z "$(PYTHON)" ]; then \
		echo "onetake needs Python 3.11 to 3.14 and found none; install one: 'apt-get install python3.11 python3.11-venv' on Debian, 'brew install python@3.13' on macOS." >&2; exit 1; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$v is here without ensurepip; install it: 'apt-get install python$$v-venv' on Debian." >&2; exit 1; }
	@echo "building .venv with $(PYTHON) (once)"
	@rm -rf .venv
	@{ $(PYTHON) -m venv .venv \
		&& .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
		&& .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e . ; } \
		|| { rm -rf .venv; echo "The installation failed and was undone; nothing else was changed." >&2; exit 1; }
	@touch $(STAMP)
