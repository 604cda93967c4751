# The only entry. `make demo` shows it, `make test` proves it; everything is installed into $(VENV) on first use.

PYTHON ?= python3
VENV ?= .venv
# the build of torch: `make test TORCH_INDEX=https://download.pytorch.org/whl/cpu` (no GPU), …/whl/cu128 (GPU)
TORCH ?= 2.13.0
TORCH_INDEX ?=
# versions that CI has passed with; `CONSTRAINTS=` takes the newest
CONSTRAINTS ?= constraints.txt
# more words for pytest, the demo or the benchmark
ARGS ?=
# processes that share the tests, a file each; `WORKERS=0` runs them in one
WORKERS ?= auto
NAME ?=

ifneq ($(wildcard ../shared/data),)
export BERTWORKS_DATA ?= $(abspath ../shared/data)
endif

RUN = $(VENV)/bin/python -m
PIP = pip install --quiet --disable-pip-version-check
TORCH_BUILD = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH)
# a thread for each process, or they wait for each other
TOGETHER = OMP_NUM_THREADS=1
PINNED = $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-wheel check format docs golden bench tiny build

help:
	@echo "make demo        learn, pre-train, fine-tune and compare on bundled text"
	@echo "make test        the tests; make test-all: the slow ones too; make test-wheel: against the built wheel"
	@echo "make check       format, lint, types, layers; make format: put the format right"
	@echo "make tiny        recipes/tiny.sh: one command a stage"
	@echo "make docs        write docs/cli.md and docs/api.md; make golden: write what the golden tests compare with"
	@echo "make bench       NAME=pretrain|finetune|predict|corpus|masking|startup|accumulation"
	@echo "make build       wheel and sdist into dist/"

# the package alone: all that a user needs
$(VENV)/.package: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11"; echo "hint: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; } >&2
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(PIP) $(TORCH_BUILD)
	$(RUN) $(PIP) $(PINNED) --editable .
	@touch $@

# what tests and checks need beside it
$(VENV)/.tests: $(VENV)/.package
	$(RUN) $(PIP) $(PINNED) --editable '.[test,dev]'
	@touch $@

setup: $(VENV)/.tests

demo: $(VENV)/.package
	$(VENV)/bin/bertworks demo $(ARGS)

test: $(VENV)/.tests
	$(TOGETHER) $(RUN) pytest tests -q -m "not slow" --durations=15 -n $(WORKERS) --dist loadfile $(ARGS)

test-all: $(VENV)/.tests
	$(TOGETHER) $(RUN) pytest tests -q --durations=15 -n $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/.tests
	$(RUN) ruff format --check src tests tools
	$(RUN) ruff check src tests tools
	$(RUN) mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.tests
	$(RUN) ruff format src tests tools
	$(RUN) ruff check --fix src tests tools

tiny: $(VENV)/.package
	PATH="$(abspath $(VENV))/bin:$$PATH" recipes/tiny.sh $(ARGS)

docs: $(VENV)/.package
	$(VENV)/bin/python tools/generate_docs.py

golden: $(VENV)/.tests
	$(RUN) pytest tests -q --rewrite-golden $(ARGS)

bench: $(VENV)/.tests
	$(RUN) $(PIP) $(PINNED) --editable '.[bench]'
	$(VENV)/bin/bertworks bench $(NAME) $(ARGS)

build: $(VENV)/.tests
	rm -rf dist
	$(RUN) build --outdir dist .

# the wheel in an environment of its own, the tests in a folder of their own: the source cannot help
test-wheel: build
	rm -rf build/wheel
	mkdir -p build/wheel/away
	cp -r tests pyproject.toml build/wheel/away
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m $(PIP) $(TORCH_BUILD)
	build/wheel/venv/bin/python -m $(PIP) $(PINNED) "$$(echo dist/*.whl)[test]"
	cd build/wheel/away && $(TOGETHER) ../venv/bin/python -m pytest tests -q -m "not slow" -n $(WORKERS) --dist loadfile $(ARGS)
