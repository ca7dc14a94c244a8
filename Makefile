# `make` says what there is. Everything is installed into .venv, and again only when setup.cfg has changed.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# the quick ones first, so that a mistake is known soon
TESTS := tests/unit tests/contract tests/wire tests/web tests/flow tests/isolation tests/browser

.DEFAULT_GOAL := help
.PHONY: help run test lint bench fuzz faults docs clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST)

run: .venv/installed  ## start a server with a shop and a partner to play with (ARGS="--port 9000")
	@exec $(BIN)/pixeld demo $(ARGS)

# STATUS names a file that takes pytest's exit code: make would turn it into 2 and add a line of its own behind pytest's last one.
test: .venv/installed-dev  ## run every test that can run on this machine (ARGS="-k orders"), and say which couldn't
	@$(BIN)/python -m pytest -q $(TESTS) $(ARGS); status=$$?; $(if $(STATUS),echo $$status >$(STATUS),exit $$status)

lint: .venv/installed-dev  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/mypy

fuzz: .venv/installed-fuzz  ## look for inputs that break a parser, a minute each (ARGS="money --seconds 600"); Linux on x86-64
	@$(BIN)/python -m tests.fuzz $(or $(ARGS),all)

bench: .venv/installed-bench  ## measure speed, beside other servers in the same run
	@$(BIN)/python -m bench $(or $(ARGS),peers)

faults: .venv/installed-dev  ## break the real parts at random for an hour and balance the books (ARGS="cluster --runs 8")
	@$(BIN)/python -m tests.faults $(or $(ARGS),embedded --runs 40 --save)

docs: .venv/installed  ## write config/pixeld.toml and the README's table of settings anew
	@$(BIN)/python -m pixeld.cli.settings_doc

clean:  ## remove what these commands made; the data of `make run` in pixeld-data stays
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find pixeld tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Name a Python of 3.11 or later: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "pixeld needs Python 3.11 or later, and $(PYTHON) is older. Name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.venv/installed: setup.cfg pyproject.toml | .venv/bin/python
	@echo "installing pixeld into .venv …"
	@$(PIP) --editable '.[embedded]'
	@touch $@

.venv/installed-dev: setup.cfg pyproject.toml | .venv/bin/python
	@echo "installing pixeld and its tools into .venv …"
	@$(PIP) --editable '.[embedded,dev]'
	@touch .venv/installed $@

.venv/installed-bench: .venv/installed-dev
	@$(PIP) --editable '.[embedded,dev,bench]'
	@touch $@

.venv/installed-fuzz: .venv/installed-dev
	@$(PIP) --editable '.[embedded,dev,fuzz]'
	@touch $@
