# The project's commands. Each sets up its own virtual environment in .venv first.
#   make demo    segment the shipped volume and draw a picture of it
#   make test    install what the tests need, check style and types, run the tests
#   make lint    style, types and import directions
#   make bench   our engine against the stock SAM2 predictor, and a server against the engine
#   make soak    the server's promises at full count: load, faults, abuse (about half an hour)
#   make quality Dice and surface Dice on the open sets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint server/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak quality clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name it with PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || \
		{ echo "No virtual environment could be made; on Debian install python3-venv." >&2; exit 2; }

$(VENV)/.runtime: server/pyproject.toml server/constraints.txt | $(BIN)/python
	$(INSTALL) --editable 'server[cli]'
	touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(INSTALL) --editable 'server[dev]'
	touch $@

demo: $(VENV)/.runtime
	$(BIN)/medsam2 demo

test: lint
	$(BIN)/python -m pytest Testing -c Testing/pytest.ini --rootdir Testing

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell server Testing README.md Makefile .github --skip '*LICENSE_source.md'
	cd server && ../$(BIN)/mypy
	cd server && ../$(BIN)/lint-imports

bench: $(VENV)/.development
	$(BIN)/python -m medsam2.bench.engine --output Testing/results
	$(BIN)/python -m medsam2.bench.serving --output Testing/results

soak: $(VENV)/.development
	SOAK=1 $(BIN)/python -m pytest Testing/system -c Testing/pytest.ini --rootdir Testing

quality: $(VENV)/.development
	$(BIN)/python -m medsam2.bench.quality --data ../shared/data --output Testing/results/quality-litemedsam.md

clean:
	rm -rf $(VENV) demo-output
