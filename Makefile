# Everything works from a clean clone: each target first makes .venv or brings it up to date.

VENV := .venv
BIN := $(VENV)/bin
RESULTS := results

# One thread for linear algebra: its arrays are small here, and workers already fill the cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

# Compiled files must be written, and no other Python's modules may leak in.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

.PHONY: help setup study test lint types imports check bench bench-quick pins clean

help:
	@echo 'make study    run studies/two_species.toml and fit the penguins; says where the reports are'
	@echo 'make test     run the whole test suite'
	@echo 'make check    tests, lint, types and the direction of the imports'
	@echo 'make bench    time everything beside other libraries, half an hour; bench-quick in three minutes'
	@echo 'make setup    make .venv or bring it up to date (the others do it first)'
	@echo 'make pins     choose the versions in requirements.txt anew (needs uv)'
	@echo 'make clean    remove caches and .venv; results stay'

setup:
	@sh scripts/setup.sh

study: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/study.sh $(RESULTS)

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports --no-logo

check: test lint types imports

bench: setup
	$(BIN)/python -m benchmarks --out $(RESULTS)/benchmarks

bench-quick: setup
	$(BIN)/python -m benchmarks --quick --out $(RESULTS)/benchmarks

pins:
	@{ echo '# Every package that the toolkit, its tests and its checks need, pinned for Python 3.12 and 3.13.'; \
	   echo '# Written by `make pins` from pyproject.toml.'; \
	   uv pip compile pyproject.toml --group dev --universal --python-version 3.12 --upgrade \
	      --no-header --no-emit-index-url --quiet; } >requirements.txt.new
	@mv requirements.txt.new requirements.txt

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache build dist
	find mixtures tests -name __pycache__ -type d -prune -exec rm -rf {} +
