# make demo: sets everything up and trains IPR on the embedded mini corpus.
# make test: sets everything up and passes the tests.
# make model: trains a probe on all speakers of the corpora that are given, as
#   make model EMODB=DIR RAVDESS=DIR NEMO=DIR WHISPER=DIR MODEL=three-corpora
# PYTHON says which Python makes the environment (3.10 or later).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS ?= 2

.PHONY: demo test lint model clean

MODEL ?= results/three-corpora

demo: $(READY)
	$(BIN)/python recipes/IEMOCAP/train_ipr.py hparams/ipr.yaml

test: $(READY) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/yamllint -s recipes tables tools .yamllint.yaml

model: $(READY)
	$(BIN)/python tools/make_model.py $(MODEL) --encoder_folder $(WHISPER) \
		$(if $(EMODB),--emodb $(EMODB)) $(if $(RAVDESS),--ravdess $(RAVDESS)) \
		$(if $(NEMO),--nemo $(NEMO))

$(READY): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 10) or sys.exit("Python %d.%d: name one from 3.10 on, e.g. make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV)
