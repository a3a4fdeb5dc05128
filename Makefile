# PYTHON makes the environment; everything after that runs inside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo web test lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## create .venv and install edit-real in it, with what development needs

demo: export HF_HUB_OFFLINE := 1
demo: $(STAMP) ## run the demo edits with the bundled model, offline
	$(BIN)/edit-real demo --overwrite

web: $(STAMP) ## serve the page and open it in the browser
	$(BIN)/edit-real web

test: export HF_HUB_OFFLINE := 1
test: $(STAMP) ## run the quick tests, offline, on the CPU
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## sort imports, apply safe fixes, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove builds and caches; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Stamps are written last: an interrupted setup is taken up again, a finished one costs nothing.
$(STAMP): pyproject.toml constraints.txt | $(VENV)/.created
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.created:
	@command -v '$(PYTHON)' >/dev/null || \
		{ echo "edit-real needs Python 3.10 or newer, but '$(PYTHON)' was not found; name one with: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "edit-real needs Python 3.10 or newer, but '$(PYTHON)' is $$('$(PYTHON)' -V 2>&1); name a newer one with: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot create environments: its venv module is missing; on Debian and Ubuntu install it with: apt install python3-venv" >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV)
	@touch $@
