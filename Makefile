# Everything runs in .venv, which the first target that needs it creates. PYTHON chooses the interpreter of a new one.
# Paths are relative throughout, so that a checkout may lie in a folder with a space in its name.
PYTHON ?= python3
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
ARGS ?=
GPU_OUT ?= runs

export PIP_DISABLE_PIP_VERSION_CHECK = 1
INSTALL = .venv/bin/python -m pip install -c constraints.txt
NOT_INSTALLED = { echo "The installation stopped; pip says why above. It needs a network, or a pip set up to do without one." >&2; exit 1; }

.PHONY: help quickstart test bench gpu lint types package check docs site constraints clean

help: ## say what there is (the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo 'PYTHON=python3.13 names the interpreter of a new .venv; ARGS="-m '"'not slow'"'" goes to pytest.'

quickstart: .venv/.user ## install, then measure a small suite and write its report
	.venv/bin/bench run suites/quick.yaml

test: .venv/.dev ## the whole test suite, in two processes; ARGS="-n 0" runs it in one
	.venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

bench: .venv/.dev ## the project's own benchmarks, in pytest
	.venv/bin/python -m pytest tests/benchmarks --benchmark-only $(ARGS)

gpu: ## on a machine with a GPU: its tests and its suites, without an install; leaves GPU_OUT/gpu-DATE.tar.gz
	@PYTHON="$(PYTHON)" bash tests/gpu.sh "$(GPU_OUT)"

lint: .venv/.dev ## ruff and clang-format: rules and format
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/clang-format --dry-run --Werror variants/kernels/native/source/*

types: .venv/.dev ## mypy, strict: the rooms and the tests
	.venv/bin/mypy

package: .venv/.dev ## build the wheel of HEAD and compare it with the tree
	.venv/bin/python -m pytest tests/test_packaging.py $(ARGS)

check: test lint types ## all of it: the test suite (it holds `package`), ruff and mypy

docs: .venv/.dev ## write the pages that are made from the code anew
	PYTHONPATH=tests .venv/bin/python -m pages

site: .venv/.dev ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

constraints: ## pin anew what the development environment pulls; TORCH=2.13.0 sets torch's version
	rm -rf build/venv
	$(MAKE) build/venv/bin/python
	build/venv/bin/python -m pip install torch==$(TORCH) -e '.[dev]'
	build/venv/bin/python -m pip freeze --exclude-editable > build/frozen.txt
	sed -E -e '/^(pip|setuptools|wheel)==/d' -e 's/\+.*//' build/frozen.txt > build/pins.txt
	sed -n '/^#/p' constraints.txt | cat - build/pins.txt > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove .venv, caches and build outputs; runs stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find variants suites runner reports tests -name __pycache__ -prune -exec rm -rf {} +

# The installed state, as stamps: newer than what was asked for means nothing to do.
.venv/.user: pyproject.toml constraints.txt | .venv/bin/python
	@$(INSTALL) -e '.[html]' || $(NOT_INSTALLED)
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	@$(INSTALL) -e '.[dev]' || $(NOT_INSTALLED)
	@touch .venv/.user $@

%/bin/python:
	@command -v "$(PYTHON)" > /dev/null || { echo "expected Python 3.11 or later, found no $(PYTHON); install it, or name another: make PYTHON=python3.13" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python 3.11 or later, found %s; name another: make PYTHON=python3.13" % sys.version.split()[0])'
	"$(PYTHON)" -m venv --clear $* || { rm -rf $*; exit 1; }
