# `make setup` is the only step that needs the network. All others do it first, and it is quick once done.

# A Python to use, as in `make setup PYTHON=python3.14`. Empty: .ci/find-python finds one.
PYTHON =
# More arguments for run, demo, test, coverage, slow, fuzz and bench, as in `make test ARGS="-k vault -x"`.
ARGS =
# How long `make fuzz` takes, for all targets together.
SECONDS = 60

# Nothing to read, unless a person is there: a debugger wants the terminal, a test must not wait on a pipe.
PYTEST = test -t 0 || exec </dev/null; exec .venv/bin/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run demo test lint format coverage slow fuzz bench constraints clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv, with everything pinned
	@.ci/setup $(PYTHON)

run: setup ## start the proxy, after `seks init` where there is no vault yet
	@test -e "$${SEKS_HOME:-$$HOME/.seks}/vault.db" || .venv/bin/seks init
	@echo 'In another terminal, store a key:  .venv/bin/seks vault add openai'
	@echo 'start an agent without it:         .venv/bin/seks run -- your-agent'
	@echo 'and watch what it does:            .venv/bin/seks audit tail -f'
	@exec .venv/bin/seks-proxy run $(ARGS)

demo: setup ## see an agent work with a fake token, without an account anywhere
	@.venv/bin/python -m tests.demo $(ARGS)

test: lint ## check style and types, and run the tests but for the slow ones
	@$(PYTEST) $(ARGS)

lint: setup ## check style and types
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/python -m mypy

format: setup ## fix style
	.venv/bin/python -m ruff check --fix-only
	.venv/bin/python -m ruff format

coverage: setup ## run the tests and say which branches they miss
	@$(PYTEST) --cov $(ARGS)

slow: setup ## run the tests that take long, which `make test` leaves out
	@$(PYTEST) -m slow $(ARGS)

fuzz: setup ## try mutated requests and answers for SECONDS
	@.ci/fuzz --seconds $(SECONDS) $(ARGS)

bench: setup ## measure
	.venv/bin/python -m benchmarks $(ARGS)

constraints: ## write constraints.txt anew, with the newest versions allowed
	.ci/constraints

clean: ## remove all that was made here; the vault lives elsewhere
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
