# Everything runs from .venv, made from the locked, hashed requirements, wheels only: a source
# distribution would fetch what no lock names. Only Python >= 3.11 and git are needed; uv is used
# where it is on PATH (`make UV= ...` does without).

PYTHON ?= python3
UV     ?= $(shell command -v uv 2>/dev/null)
ARGS   ?=
JOBS   ?= 4

VENV   := .venv
BIN    := $(VENV)/bin
EMPTY  := build/empty
LOWEST := build/lowest
NEWEST := build/newest
PAGES  := build/pages
PEERS  := $(basename $(wildcard benchmarks/speed/requirements/*.in))
LOCKED := --require-hashes --only-binary :all: --requirement

ifneq ($(strip $(UV)),)
create  = $(UV) venv --quiet --clear --python $(PYTHON) $(1)
install = $(UV) pip install --quiet --python $(1)/bin/python $(2)
verify  = $(UV) pip check --quiet --python $(1)/bin/python
else
create  = $(PYTHON) -m venv --clear $(1)
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
verify  = $(1)/bin/python -m pip check --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.PHONY: help venv demo test slow lowest newest cover simulate soak mutants crashes bench lint format types layers docs wheel deploy check lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.ready ## Make .venv from the lock; does nothing while it is up to date

# The stamps are written last: an installation that was interrupted begins anew.
$(VENV)/.locked: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python >= 3.11 is needed; name one with: make PYTHON=python3.11 ...")'
	@echo "Installing the locked requirements into $(VENV)"
	@$(call create,$(VENV))
	@$(call install,$(VENV),$(LOCKED) $<)
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(call install,$(VENV),--no-deps --no-build-isolation --editable .)
	@touch $@

demo: venv ## Watch real orders on real workers, one of which is killed
	@$(BIN)/python -m tasks.demo $(ARGS)

# More processes than cores: most tests wait most of the time.
test: venv ## Run the tests; ARGS="-k barrier -x" goes to pytest
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m "not slow" $(ARGS)

slow: venv ## Run the tests that `make test` leaves out: crowds, restarts, mixed versions, long searches
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m slow $(ARGS)

# The corners of the matrix. What runs without other servers is enough for them.
QUICKLY := -n 2 --dist loadgroup tests/unit tests/integration -k "not postgresql and not mariadb"

lowest: ## Run the quick tests on the lowest versions that pyproject.toml allows; two minutes
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or sys.exit("The lowest versions have wheels for Python 3.11 and 3.12 only; name one with: make PYTHON=python3.11 lowest")'
	@$(call create,$(LOWEST))
	@$(call install,$(LOWEST),$(LOCKED) requirements/lowest.txt)
	@$(call install,$(LOWEST),--no-deps --no-build-isolation --editable .)
	@$(call verify,$(LOWEST))
	$(LOWEST)/bin/pytest $(QUICKLY) $(ARGS)

# No interpreter is fetched: package registries have none, and uv would download one from elsewhere.
newest: ## Run the quick tests on the locked versions with another Python: make PYTHON=python3.13 newest
	@$(call create,$(NEWEST))
	@$(call install,$(NEWEST),$(LOCKED) requirements/dev.txt)
	@$(call install,$(NEWEST),--no-deps --no-build-isolation --editable .)
	$(NEWEST)/bin/python --version
	$(NEWEST)/bin/pytest $(QUICKLY) $(ARGS)

simulate: venv ## Try ten million schedules; ARGS="--seed 1" replays one
	$(BIN)/python -m tests.models.schedules $(ARGS)

bench: venv ## Measure sagas beside their peers; ten minutes, or ARGS="--quick --only ours,chain"
	$(BIN)/python -m benchmarks.speed $(ARGS)

soak: venv ## Break everything beneath running sagas for three minutes; ARGS="--minutes 60 --sagas 50000 --faults 1000"
	$(BIN)/python -m tests.soak $(ARGS)

mutants: venv ## Break the core in a hundred places; the tests must notice each; two minutes
	$(BIN)/python -m tests.mutants $(ARGS)

crashes: venv ## Let processes die at every fault point, 20 times over; about half an hour
	SAGAS_CRASH_ROUNDS=20 $(BIN)/pytest tests/system/test_crash_table.py $(ARGS)

# What decides and what writes: every branch is walked by a test that names what it is for, so the
# models, which come by everywhere, are left out; and one database is enough.
cover: venv ## Check that the tests walk every branch of the decisions and of the store
	$(BIN)/coverage run -m pytest -q tests/unit/decision tests/unit/test_plan.py tests/unit/test_retry.py \
	  tests/unit/test_states.py tests/integration/test_store.py \
	  tests/integration/test_predictions.py -k "not postgresql and not mariadb" $(ARGS)
	$(BIN)/coverage report

lint: venv ## Check the rules and the format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: venv ## Format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

types: venv ## Check the types, also those of the documentation's examples
	$(BIN)/mypy
	$(BIN)/python -m tests.docs.typed $(PAGES)
	$(BIN)/mypy $(PAGES)
	$(BIN)/basedpyright --pythonpath $(BIN)/python

layers: venv ## Check that imports point downwards
	$(BIN)/lint-imports

wheel: venv ## Build the wheel and try it in an empty environment
	rm -rf dist build
	$(BIN)/python -m hatchling build --target wheel --directory dist
	@$(call create,$(EMPTY))
	@$(call install,$(EMPTY),$(LOCKED) requirements/base.txt)
	@$(call install,$(EMPTY),--no-deps dist/*.whl)
	@$(call verify,$(EMPTY))
	$(EMPTY)/bin/python -I tests/smoke_wheel.py

docs: venv ## Build the documentation into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

deploy: venv ## Check the files of the deployment
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

check: lint types layers docs deploy wheel lowest cover mutants test slow soak ## Run everything

lock: ## Lock the requirements anew, with uv; ARGS=--upgrade takes newer versions
	@for name in base dev image build lowest; do \
	  case $$name in \
	    base) of="pyproject.toml" ;; \
	    dev) of="pyproject.toml --all-extras --group dev --constraints requirements/base.txt" ;; \
	    image) of="pyproject.toml --extra flower --extra mariadb --extra postgres --constraints requirements/dev.txt" ;; \
	    build) of="--group build --constraints requirements/dev.txt" ;; \
	    lowest) of="pyproject.toml --extra embedded --extra mariadb --extra postgres --group test --resolution lowest-direct" ;; \
	  esac; \
	  uv pip compile $$of --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --output-file requirements/$$name.txt $(ARGS) || exit; \
	done
	@for peer in $(PEERS); do \
	  uv pip compile $$peer.in --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --output-file $$peer.txt $(ARGS) || exit; \
	done

clean: ## Remove everything that make has made
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
