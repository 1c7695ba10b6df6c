# The project's commands. Each sets up its own virtual environment in .venv first.
#   make demo         segment the shipped volume with the Slicer module and draw a picture of it
#   make test         install what the tests need, check style and types, run the tests
#   make lint         style, types and import directions
#   make screenshots  the README's pictures of the Slicer module
#   make bench        engine against stock predictor, server against engine, cost of the module
#   make soak         the server's promises at full count: load, faults, abuse (about half an hour)
#   make quality      Dice and surface Dice on the open sets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint server/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo screenshots test lint bench soak quality clean system-packages

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name it with PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || \
		{ echo "No virtual environment could be made; on Debian install python3-venv." >&2; exit 2; }

$(VENV)/.runtime: server/pyproject.toml server/constraints.txt | $(BIN)/python
	$(INSTALL) --editable 'server[cli,server,slicer]'
	touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(INSTALL) --editable 'server[dev]'
	touch $@

# What Qt and VTK need to draw without a screen.
system-packages:
	@.ci/system-packages

demo: system-packages $(VENV)/.runtime
	$(BIN)/python Testing/showing/demo.py

screenshots: system-packages $(VENV)/.runtime
	$(BIN)/python Testing/showing/screenshots.py

test: system-packages lint
	$(BIN)/python -m pytest Testing -c Testing/pytest.ini --rootdir Testing

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell server MedSAM2Slicer Resources Testing README.md Makefile .github --skip '*LICENSE_source.md'
	cd server && ../$(BIN)/mypy
	cd server && ../$(BIN)/lint-imports

bench: system-packages $(VENV)/.development
	$(BIN)/python -m medsam2.bench.engine --output Testing/results
	$(BIN)/python -m medsam2.bench.serving --output Testing/results
	$(BIN)/python Testing/showing/bench_module.py --output Testing/results

soak: $(VENV)/.development
	SOAK=1 $(BIN)/python -m pytest Testing/system -c Testing/pytest.ini --rootdir Testing

quality: $(VENV)/.development
	$(BIN)/python -m medsam2.bench.quality --data ../shared/data --output Testing/results/quality-litemedsam.md

clean:
	rm -rf $(VENV) demo-output
