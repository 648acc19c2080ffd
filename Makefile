# `make demo` and `make test` do everything from a bare checkout, installation included.
.PHONY: install demo check test test-slow fuzz lint format lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 2

install: $(READY)

# Rebuilt only when a dependency changes; an interrupted one resumes from pip's cache.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || { echo "Creating $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked dependencies into $(VENV) (about 3 GB, a few minutes the first time) …"
	@$(BIN)/pip install --progress-bar on --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: install
	$(BIN)/python examples/demo.py $(if $(FAST),--fast)

# Files in the order of tests/conftest.py, the long ones first.
test: install
	$(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder \
		--durations=10

# Lint, types of the public API, what families and imports must hold: within a minute.
check: lint
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" tests/project/test_types.py \
		tests/project/test_families_only.py tests/families/test_config.py tests/layers

test-slow: install
	$(BIN)/python -m pytest -q -m slow --durations=10

# Hours on two cores: 20,000 damaged files for each reader, and every write event of every
# command; writes the tables of docs/reliability.md.
fuzz: install
	$(BIN)/python -m tests.fuzz.mutants --write docs/reliability.md
	$(BIN)/python -m tests.fuzz.crashes --write docs/reliability.md

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Writes the versions installed now; run after changing pyproject.toml and testing.
lock:
	$(BIN)/pip freeze --exclude-editable | grep -v '^bert-for-keras' | sed 's/+cpu$$//; s/ @ .*//' > requirements.lock

clean:
	rm -rf $(VENV) demo_run build *.egg-info
