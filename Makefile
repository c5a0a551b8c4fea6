# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint format bench parity simulations clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install  ## evaluate both bundled checkpoints on all bundled benchmarks
	$(BIN)/evalsuite run --ckpt demo --ckpt demo:early
	$(BIN)/evalsuite leaderboard

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## side by side with VLMEvalKit's own loop; a few minutes
	$(BIN)/python -m bench.side_by_side

parity: install  ## both roads over every benchmark: the table in docs/parity.md
	$(BIN)/python -m tests.parity.table > docs/parity.md

simulations: install  ## what intervals and verdicts promise, on made answers; some minutes
	$(BIN)/python -m pytest -m slow tests/test_simulations.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache

.PHONY: pictures
pictures: demo  ## the plots in docs/pictures
	$(BIN)/python -m tools.pictures
