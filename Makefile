# make serve | test | train | bench | check (and lock, after a change of dependencies).
PYTHON ?= python3
SERVE_ENV := .venv
FULL_ENV := .venv-full

# TensorFlow stays out of the serving environment: two environments, each made when first needed and
# made again when its lock changes.
SERVE := $(SERVE_ENV)/.complete
FULL := $(FULL_ENV)/.complete

.PHONY: serve test train bench check lock clean

serve: $(SERVE)  ## The service on http://127.0.0.1:8000 with the committed models
	@$(SERVE_ENV)/bin/foretell serve

test: $(FULL)  ## Every test that can run here; skipped ones say why
	$(FULL_ENV)/bin/pytest $(TESTS)

train: $(FULL)  ## Every recipe of every task, as new versions in models/, and docs/method/results.md
	$(FULL_ENV)/bin/foretell train --all
	$(FULL_ENV)/bin/foretell results --output docs/method/results.md

check: $(FULL)  ## Lint, format, types, and the rules of who may import whom
	$(FULL_ENV)/bin/ruff check .
	$(FULL_ENV)/bin/ruff format --check .
	$(FULL_ENV)/bin/mypy
	$(FULL_ENV)/bin/lint-imports

bench: $(FULL)  ## Measured comparisons, into benchmarks/results.md; BENCH=--quick for seconds of it
	$(FULL_ENV)/bin/python -m benchmarks $(BENCH)

$(SERVE): requirements/service.txt pyproject.toml
	$(call environment,$(SERVE_ENV),requirements/service.txt)

$(FULL): requirements/dev.txt pyproject.toml
	$(call environment,$(FULL_ENV),requirements/dev.txt)

define environment
	@echo "Installing into $(1) (first time: a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Foretell needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --require-hashes --requirement $(2)
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(1)/.complete
endef

# Locks hold hashes but no index address; they are the same wherever packages come from.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header pyproject.toml --group build
lock:
	$(COMPILE) --extra grpc --output-file requirements/service.txt
	$(COMPILE) --extra grpc --override requirements/cpu.in requirements/cpu.in --output-file requirements/service-cpu.txt
	$(COMPILE) --extra grpc --extra cuda --output-file requirements/service-cuda.txt
	$(COMPILE) --extra training --output-file requirements/training.txt
	$(COMPILE) --extra training-gpu --output-file requirements/training-gpu.txt
	$(COMPILE) --extra training --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra bench --output-file requirements/bench.txt

clean:
	rm -rf $(SERVE_ENV) $(FULL_ENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
