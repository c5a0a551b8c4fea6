# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# tools/install.sh writes these two at its end. The second has all of the first.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
# The tests start many processes. Without cached bytecode each of them compiles VLMEvalKit and torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-quick browser chromium screenshots pictures lint lint-words format golden bench parity simulations mutants clean lock docs bare bare-ci

install: $(DEV)

$(RUN): pyproject.toml requirements.txt
	@PYTHON="$(PYTHON)" tools/install.sh run

$(DEV): pyproject.toml requirements.txt requirements-dev.txt
	@PYTHON="$(PYTHON)" tools/install.sh dev

lock: install  ## requirements.txt and requirements-dev.txt from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(BIN)/python -m tools.lock $(UPGRADE)

demo: $(RUN)  ## evaluate both bundled checkpoints on all bundled benchmarks
	$(BIN)/evalsuite run --ckpt demo --ckpt demo:early
	$(BIN)/evalsuite leaderboard

# Tests go to the two processes by file, because module fixtures are expensive.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: install  ## all tests that need neither a browser nor many minutes
	$(PYTEST)

test-quick: install  ## the tests that start neither VLMEvalKit nor a worker
	$(PYTEST) -m "not integration and not slow and not browser"

browser: install chromium  ## the page in a headless Chromium
	$(BIN)/python -m pytest -m browser -s tests/browser

screenshots: install chromium  ## docs/pictures/page-*.png, from the demo's runs
	$(BIN)/evalsuite run --ckpt demo --ckpt demo:early
	$(BIN)/python -m tests.browser.screenshots results docs/pictures

chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "make: install chromium and chromedriver first: there is no apt-get here to do it" >&2; exit 1; }; \
	  [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null || { echo "make: install chromium and chromedriver first, as root: apt-get install chromium chromium-driver" >&2; exit 1; }; \
	  as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$as_root apt-get update -q && $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium chromium-driver fonts-noto-core; \
	}

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/lint_words.py

lint-words: install  ## words that make prose hard to read
	$(BIN)/python tools/lint_words.py

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

golden: install  ## write tests/golden anew, all forms of reports; read the diff
	EVALSUITE_GOLDEN=write $(BIN)/python -m pytest tests/test_report.py tests/test_report_formats.py tests/test_leaderboard.py tests/test_model_card.py tests/test_curve.py

bench: install  ## side by side with VLMEvalKit's own loop; a few minutes
	$(BIN)/python -m bench.side_by_side

parity: install  ## VLMEvalKit's loop and ours on every benchmark, written to docs/evidence/parity.md
	$(BIN)/python -m tests.parity.table > docs/evidence/parity.md

simulations: install  ## what intervals and verdicts promise, on made answers; some minutes
	$(BIN)/python -m pytest -m slow tests/test_simulations.py

mutants: install  ## changes of single tokens that tests do not notice; about 20 minutes
	nice $(BIN)/python -m tools.mutants $(MUTANTS)

docs: install  ## the pages of docs/ as a website, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bare:  ## everything a new user does, on bare Debian 12 and 13; needs root and debootstrap; half an hour
	tools/bare.sh bookworm demo light pip uv test
	tools/bare.sh trixie demo light pip uv test

bare-ci:  ## the part of it that .ci/run runs; about 3 minutes
	tools/bare.sh bookworm demo light

clean:
	rm -rf $(VENV) dist build site .mypy_cache .ruff_cache .pytest_cache

pictures: demo  ## the plots in docs/pictures
	$(BIN)/python -m tools.pictures
