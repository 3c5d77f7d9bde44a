# SPDX-License-Identifier: Apache-2.0
# What one types. Each target works from a clean clone; the logic is in lab/install and in `lab`.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## Say what there is (the default)
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: install
install: ## Install what a first verdict needs: Debian packages, then .venv
	@lab/install/debian.sh

.PHONY: install-all
install-all: ## Install what any of these targets needs
	@lab/install/debian.sh --with all

.PHONY: lab-up
lab-up: ## Bring a lab up, and leave it standing
	@lab/install/debian.sh --with arm64
	.venv/bin/lab up

.PHONY: lab-down
lab-down: install ## Take down what is standing
	.venv/bin/lab down

.PHONY: lab-status
lab-status: install ## Say what is standing
	.venv/bin/lab status

.PHONY: topologies
topologies: ## Run the ladder (tier ci): the verdicts on the kernels under test
	@lab/install/debian.sh --with arm64,kernels
	.venv/bin/pytest topologies

.PHONY: nightly
nightly: ## The whole ladder with repeats, then the report; goes on if it was killed
	@lab/install/debian.sh --with arm64,kernels
	.venv/bin/lab nightly

.PHONY: test
test: ## Test the lab itself
	@lab/install/debian.sh --with all
	.venv/bin/pytest tests

.PHONY: bench
bench: ## Measure how fast the lab is here, into reports/bench.json
	@lab/install/debian.sh --with kernels
	.venv/bin/lab bench

.PHONY: check
check: install ## Lint, format, types, and who may import whom
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: docs
docs: install ## Build the documentation into docs/_build/html
	@.venv/bin/python -m pip install --quiet --editable '.[docs]'
	.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going -c docs . docs/_build/html
	@echo "docs/_build/html/docs/index.html"

.PHONY: docs-generated
docs-generated: install ## Write the references, the graph of packages and the man page anew
	.venv/bin/python -m docs.tools.generate

.PHONY: docs-links
docs-links: install ## Ask the external links of all pages whether they answer
	.venv/bin/python -m docs.tools.external_links

.PHONY: floors
floors: ## Test the lab with the oldest Python packages that it allows
	@lab/install/floors.sh

.PHONY: mutants
mutants: install ## Change what decides, line by line: no change may pass the tests (ARGS=--changed)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	@.venv/bin/python -m tests.mutation.gate $(ARGS)

.PHONY: clean
clean: ## Remove reports, .venv and tool caches; say what is kept
	@lab/install/clean.sh
