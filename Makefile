# Every target builds what it needs, once. Nothing here reads `.env` but what says so.

# Tried by running them: a name on the PATH may be a shim that only complains.
PYTHONS := python3.13 python3.12 python3.11 python3.14 python3
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
VENV := import ensurepip, venv
# One with ensurepip, or else any that fits; looked for once, and only when something is to be installed.
FIND_PYTHON = for p in $(PYTHONS); do $$p -c '$(FITS)' && $$p -c '$(VENV)' && echo $$p && exit; done 2>/dev/null; \
	for p in $(PYTHONS); do $$p -c '$(FITS)' && echo $$p && exit; done 2>/dev/null
PYTHON ?= $(eval PYTHON := $$(shell $$(FIND_PYTHON)))$(PYTHON)
ARGS ?=
SEEDS ?= 20
# Half of the suite's time is waiting, on purpose: four processes keep two cores busy.
JOBS ?= 4
# The path is part of the name: a virtual environment that was copied elsewhere still runs the old place's code.
PLACE := $(shell printf '%s' '$(CURDIR)' | cksum | cut -d' ' -f1)
STAMP := .venv/.installed-$(PLACE)
TOOLS := .venv/.tools-$(PLACE)

# Demo, tests and benchmarks never see a key, a provider, a database or `.env`: they cannot spend.
KEPT := HOME PATH USER LOGNAME TERM COLORTERM NO_COLOR COLUMNS LANG LC_ALL LC_CTYPE LC_MESSAGES TMPDIR CI
CLEAN := env -i ONETAKE_IGNORE_ENV_FILE=1 $(foreach name,$(KEPT),$${$(name)+"$(name)=$$$(name)"})

# Where pip finds packages, for the targets that build environments for the vendors' clients.
PIPS := $(foreach name,$(filter PIP_%,$(.VARIABLES)),$(name)="$$$(name)")

PYTEST = .venv/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
FURTHER := browser or node or neighbour or long

.DEFAULT_GOAL := help
.PHONY: help demo run test test-all lint format record bench sdks conformance guarantee mutants machines simulate-faults lock migration clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(STAMP) ## the demo end to end, no account needed
	@$(CLEAN) .venv/bin/onetake demo

run: $(STAMP) ## the bot; without a token, in your browser with everything outside simulated
	@.venv/bin/onetake bot

test: $(TOOLS) ## the suite, offline, in random order: everything that needs only Python
	@$(CLEAN) $(PYTEST) $(if $(findstring tests/,$(ARGS)),,-m 'not ($(FURTHER))') $(ARGS)

test-all: $(TOOLS) ## what `make test` leaves out: a browser, Node, other servers, long proofs
	@$(CLEAN) $(PYTEST) -m '$(FURTHER)' $(ARGS)

lint: $(TOOLS) ## ruff and mypy, strict
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: $(TOOLS) ## fix what ruff can fix by itself
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

record: $(TOOLS) ## record the cassettes again, against the simulator; REAL=1 with your keys, after asking
	@if [ "$(REAL)" = 1 ]; then .venv/bin/python -m tests.record --real; \
	else $(CLEAN) .venv/bin/python -m tests.record && $(CLEAN) .venv/bin/onetake prompts record --stale; fi

bench: $(TOOLS) ## measure the figures we promise
	@$(CLEAN) .venv/bin/python -m benchmarks $(ARGS)

sdks: $(TOOLS) ## what each vendor's own client does when an answer is lost; writes docs/providers.md
	@$(CLEAN) $(PIPS) .venv/bin/python -m benchmarks.sdks --write $(ARGS)

conformance: $(TOOLS) ## the vendors' own clients against our doubles, and their requests beside ours
	@$(CLEAN) $(PIPS) .venv/bin/python -m tests.conformance $(ARGS)

guarantee: $(TOOLS) ## prove the guarantee: crashes, answers, races, seeds, mutants; writes docs/guarantees.md
	@$(CLEAN) .venv/bin/python -m tests.guarantee.report $(ARGS)

mutants: $(TOOLS) ## remove each protection, and check that a test fails
	@$(CLEAN) .venv/bin/python -m tests.guarantee.mutants $(ARGS)

machines: $(TOOLS) ## three workers killed, cut off for a minute, frozen; their database restarted
	@$(CLEAN) ONETAKE_LONG=1 .venv/bin/python -m pytest -s tests/guarantee/short/test_machines.py $(ARGS)

simulate-faults: $(TOOLS) ## random users, faults, crashes and freezes; SEEDS=n
	@$(CLEAN) .venv/bin/python -m tests.guarantee.simulation --seeds $(SEEDS) $(ARGS)

RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: ## resolve the pins again (needs uv); ARGS=--upgrade for newer ones
	@$(RESOLVE) --all-extras $(ARGS) pyproject.toml -o requirements.lock
	@$(RESOLVE) --extra sim --extra install --constraint requirements.lock pyproject.toml -o requirements-run.lock

migration: $(TOOLS) ## the next migration from what changed in supabase/schemas; NAME=words_of_the_change
	@$(CLEAN) .venv/bin/python -m tests.schema $(NAME)

clean: ## remove the virtual environment and the caches
	@rm -rf .venv .venv-sdks .venv-conformance .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# One sentence with the one command that repairs it; $(1) is the Debian version to name.
REPAIR = if [ "$$(uname)" = Darwin ]; then echo "brew install python@3.13"; \
	else echo "apt-get install python$(1) python$(1)-venv"; fi

# Of what pip says, how far it is: one line that is written over on a terminal, and nothing where nobody watches.
FAR = awk -v all="$$(grep -c '^[a-z]' $(1))" -v tty="$$(test -t 2 && echo 1)" \
	'tty && /^Collecting /{printf "\r  %3d of %d: %-40.40s", ++n, all, $$2; fflush()} \
	tty && /^Installing /{printf "\r  installing all %d packages %30s", all, ""; fflush()} END{if (tty) printf "\r%60s\r", ""}'
PIP = .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off
LOCKED = { { $(PIP) --require-hashes -r $(1) 2>.venv/.said && echo yes >.venv/.done; } | $(call FAR,$(1)); \
	if [ -e .venv/.done ]; then rm .venv/.done; else cat .venv/.said >&2; false; fi; }
TOOK = echo "installed in $$(( $$(date +%s) - begun )) s; this happens only once"
UNDONE = { rm -rf .venv; echo "The installation failed and was undone; nothing else was changed." >&2; exit 1; }

$(STAMP): pyproject.toml requirements-run.lock
	@'$(PYTHON)' -c '$(FITS)' 2>/dev/null || { \
		echo "onetake needs Python 3.11 to 3.14; $(if $(PYTHON),$(PYTHON) is not one of them,none was found). Install one with: $$($(call REPAIR,3.11))" >&2; exit 1; }
	@'$(PYTHON)' -c '$(VENV)' 2>/dev/null || { \
		v=$$('$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$v was found, but without ensurepip. Install it with: $$($(call REPAIR,$$v))" >&2; exit 1; }
	@echo "building .venv with $(PYTHON): $$(grep -c '^[a-z]' requirements-run.lock) packages, about 100 MB to download, 400 MB on disk"
	@rm -rf .venv
	@begun=$$(date +%s); { '$(PYTHON)' -m venv .venv && $(call LOCKED,requirements-run.lock) \
		&& $(PIP) --quiet --no-deps --no-build-isolation --no-index -e . && $(TOOK); } || $(UNDONE)
	@touch $(STAMP)

$(TOOLS): $(STAMP) requirements.lock
	@echo "adding the test tools to .venv: $$(( $$(grep -c '^[a-z]' requirements.lock) - $$(grep -c '^[a-z]' requirements-run.lock) )) more packages"
	@begun=$$(date +%s); { $(call LOCKED,requirements.lock) && $(TOOK); } || $(UNDONE)
	@touch $(TOOLS)
