# make demo: sets everything up and trains IPR on the embedded mini corpus.
# make test: sets everything up and passes the tests.
# PYTHON says which Python makes the environment (3.10 or later).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS ?= 2

.PHONY: demo test lint clean

demo: $(READY)
	$(BIN)/python recipes/IEMOCAP/train_ipr.py hparams/ipr.yaml

test: $(READY) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/yamllint -s recipes tables tools .yamllint.yaml

$(READY): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 10) or sys.exit("Python %d.%d: name one from 3.10 on, e.g. make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV)
