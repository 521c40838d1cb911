# `make` alone lists the targets. Everything runs from .venv, which `make install` makes when it is needed.

VENV := .venv
# Test processes side by side, each with servers of its own: the tests wait more than they compute.
WORKERS := 3
STAMP := $(VENV)/.installed

.PHONY: help dev test check bench soak fuzz lock install clean histories
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

dev: $(STAMP) ## everything running on this machine, demo data in; Ctrl-C stops it
	@exec $(VENV)/bin/holdfast dev $(ARGS)

# Compiled files are kept, whatever the environment says: the tests start hundreds of processes.
test: $(STAMP) ## all tests but the long ones
	@PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -m "not soak" -n $(WORKERS) --dist loadfile --max-worker-restart 4 $(ARGS)

check: $(STAMP) ## style, types, import rules, generated files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --config .importlinter
	$(VENV)/bin/holdfast schema --check

bench: $(STAMP) ## how fast it is, against stated rivals and limits
	@$(VENV)/bin/python -m bench $(ARGS)

soak: $(STAMP) ## the long tests, among them 300 kills; KILLS, PEOPLE and MINUTES change those
	@HOLDFAST_SOAK_KILLS=$(KILLS) HOLDFAST_SOAK_PEOPLE=$(PEOPLE) HOLDFAST_SOAK_MINUTES=$(MINUTES) \
	  $(VENV)/bin/python -m pytest -m soak --timeout 0 $(ARGS)

fuzz: $(STAMP) ## the API against its own description, longer than the tests do; EXAMPLES and SEED change that
	@HOLDFAST_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) HOLDFAST_FUZZ_SEED=$(or $(SEED),$$(date +%s)) \
	  HOLDFAST_FUZZ_PHASES=examples,coverage,fuzzing,stateful \
	  $(VENV)/bin/python -m pytest tests/integration/test_schemathesis.py --timeout 0 $(ARGS)

histories: $(STAMP) ## record the histories that every later workflow must replay
	@HOLDFAST_RECORD_HISTORIES=tests/histories $(VENV)/bin/python -m pytest tests/integration/test_run.py tests/integration/test_course.py -q

lock: ## work out requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --quiet --upgrade --output-file requirements.lock

install: $(STAMP) ## .venv with everything in it, if it isn't there

clean: ## remove what was made: .venv, caches, .holdfast
	rm -rf $(VENV) .holdfast .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip finds nothing to fetch when the lock's versions are in place, so a touched lock costs seconds, offline too.
# `holdfast` is a script that runs this checkout: nothing to build, and no build tools to fetch.
$(STAMP): requirements.lock
	@set -e; \
	if ! test -x $(VENV)/bin/python; then \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  test -n "$$found" || { \
	    echo "Holdfast needs Python 3.11 or later; name it with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }; \
	  $$found -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$$found can't make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	fi; \
	echo "installing into $(VENV)" >&2; \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$(VENV)/bin/python -c 'import pathlib, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "holdfast.pth").write_text(str(pathlib.Path.cwd()) + "\n")'; \
	printf '#!/bin/sh\nexec "%s/bin/python" -m cli.main "$$@"\n' "$$(pwd)/$(VENV)" > $(VENV)/bin/holdfast; \
	chmod +x $(VENV)/bin/holdfast; \
	touch $(STAMP)
