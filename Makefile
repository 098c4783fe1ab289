# `make` lists what can be done. Everything is made inside this folder: .venv and .vigil.

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up down demo test check fix bench docs lock reset

# A Python of 3.11 or newer: PYTHON=... or VIGIL_PYTHON, or the first one found that can make .venv.
NAMED := $(if $(PYTHON)$(VIGIL_PYTHON),--this-python)
ifndef PYTHON
PYTHON := $(or $(VIGIL_PYTHON),$(shell \
	for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1; then echo "$$python"; break; fi; \
	done),python3)
endif

IN_VENV := .venv/bin/python
MANAGE := $(IN_VENV) manage.py
FOUND_PYTHON = command -v "$(PYTHON)" >/dev/null || { \
	echo "Vigil needs Python 3.11 or newer, and there is no $(PYTHON) here:" \
	"install one, or name it with make $@ PYTHON=/path/to/python3" >&2; exit 1; }

# What a production site would set, with made-up values, for the checks of its settings.
PRODUCTION := VIGIL_ENV=production VIGIL_HOSTS=vigil.example \
	VIGIL_SECRET_KEY=only-for-make-check-0123456789-abcdefghijklmnopqrstuvwxyz \
	DATABASE_APP_URL=postgres://vigil_app:none@127.0.0.1:5432/vigil \
	DATABASE_SEALED_URL=postgres://vigil_sealed:none@127.0.0.1:5432/vigil \
	REDIS_URL=redis://127.0.0.1:6379/0 \
	VIGIL_EMAIL_URL=smtp://127.0.0.1 VIGIL_EMAIL_FROM=vigil@vigil.example \
	VIGIL_ADDRESS=https://vigil.example

LOCK := pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --quiet pyproject.toml

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup:  ## Make .venv and install the locked packages (PYTHON=... names the Python)
	@$(FOUND_PYTHON)
	@"$(PYTHON)" -I config/bootstrap.py $(NAMED)

setup-dev:
	@$(FOUND_PYTHON)
	@"$(PYTHON)" -I config/bootstrap.py --dev $(NAMED)

up: setup  ## Start the embedded PostgreSQL and Valkey
	@$(MANAGE) up

down: setup  ## Stop them; the data stays
	@$(MANAGE) down

demo: setup  ## Replay a whole trial and open the site (ONCE=1: replay, check, stop)
	@$(MANAGE) demo $(if $(ONCE),--once)

test: setup-dev  ## Run the tests on the embedded servers (ARGS="-k name" goes to pytest)
	@$(IN_VENV) -m config.servers during $(IN_VENV) -m pytest -n 2 --dist loadgroup $(ARGS)

check: setup-dev  ## Style, types, imports, migrations, production settings, stale documents
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .
	$(IN_VENV) -m mypy .
	.venv/bin/lint-imports
	$(MANAGE) makemigrations --check --dry-run
	$(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) reference_docs --check

fix: setup-dev  ## Put style right where that is mechanical
	$(IN_VENV) -m ruff check --fix .
	$(IN_VENV) -m ruff format .

bench: setup-dev  ## Measure on this machine
	@$(IN_VENV) -m bench $(ARGS)

docs: setup-dev  ## Write docs/reference from the code
	$(MANAGE) reference_docs

lock:  ## Renew requirements*.lock from pyproject.toml (ARGS=--upgrade: newest versions; needs uv)
	@uv=.venv/bin/uv; test -x $$uv || uv=$$(command -v uv) || { \
		echo "make lock needs uv, and there is none here: .venv/bin/python -m pip install uv" >&2; \
		exit 1; }; \
	$$uv $(LOCK) $(ARGS) --output-file requirements.lock && \
	$$uv $(LOCK) $(ARGS) --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

reset: setup  ## Stop the servers and delete .vigil: all local data and passwords
	@$(IN_VENV) -m config.servers reset
