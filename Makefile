# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup sweep status report view dashboard notebooks pairs mrpc docs test release lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installed again when the requirements change; what is there already stays.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv, some minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[quickstart,dev]'
	touch $@

setup: .venv/installed ## Make .venv with everything that the quickstart and the tests need

sweep: setup ## Run the quickstart: a 5 x 5 grid of seeds, minutes on two cores, no network (again: goes on)
	$(BIN)/seedgrid train -m experiment=quickstart $(ARGS)

status: setup ## Watch the quickstart while it runs, from a second terminal; reads its records only
	$(BIN)/seedgrid status sweep=runs/quickstart $(ARGS)

report: setup ## Tables and figures of the quickstart's trials, on one page: runs/quickstart/report/index.html
	$(BIN)/seedgrid report sweep=runs/quickstart $(ARGS)

view: setup ## All sweeps in runs/ side by side, and their reports, at http://127.0.0.1:8000 (another one: ARGS=port=8001)
	$(BIN)/seedgrid view $(ARGS)

dashboard: setup ## Lay out a workspace and a report in Weights & Biases for the quickstart; needs an account
	$(BIN)/seedgrid dashboard sweep=runs/quickstart $(ARGS)

pairs: setup ## Run 8 independent pairs of seeds on the quickstart's task
	$(BIN)/seedgrid train -m experiment=quickstart seed=paired seed.init='range(0,8)' seed.order='$${seed.init}' sweep=runs/pairs $(ARGS)

mrpc: setup ## Run the paper's grid on MRPC: BERT-large, 625 trials; wants GPUs and the Hugging Face hub
	$(BIN)/seedgrid train -m task=mrpc model=bert_large seed.init='range(0,25)' seed.order='range(0,25)' $(ARGS)

notebooks: setup ## Run the notebooks again, from top to bottom, and keep their outputs
	$(BIN)/python notebooks/run.py $(ARGS)

docs: setup ## Make docs/configuration.md anew from conf/ and its comments
	$(BIN)/python docs/configuration.py

lint: setup ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## Lint, then run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

release: setup ## Build sdist and wheel into dist/, check them, and try the wheel in a new environment
	rm -rf dist
	$(BIN)/python -m hatchling build
	RELEASE=$(CURDIR)/dist $(BIN)/python -m pytest tests/test_release.py $(ARGS)

clean: ## Remove .venv and caches; never touches runs/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
