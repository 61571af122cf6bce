# What to run: make run, make test. Needs Python 3.11 or later and nothing else.
# Variables of the environment hold (DATA_DIR, HTTP_PORT, DATABASE_URL, ...), also as in `make run HTTP_PORT=8080`.

# the first of these that is new enough; PYTHON=... chooses another one
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3 python
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# of their own: what they need is no part of what is run and tested
DOCS_VENV := .venv-docs
AUDIT_VENV := .venv-audit
# the variable: it tells of its successor at each start, and nothing of these pages
MKDOCS = NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs

.PHONY: setup run test lint docs docs-serve audit bench campaign campaign-on-two-hosts lock
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp
	@exec $(BIN)/python manage.py up

setup: $(VENV)/dev.stamp

test: $(VENV)/dev.stamp
	@$(BIN)/python -m tests $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@templates=$$(find templates */templates -name '*.html' 2>/dev/null); [ -z "$$templates" ] || $(BIN)/djade --check --target-version 5.2 $$templates
	$(BIN)/mypy
	$(BIN)/lint-imports

# the documentation as a site, in site/; a broken link or anchor, or a page that is not in mkdocs.yml, fails.
# Not with --quiet, which counts no warnings
docs: $(DOCS_VENV)/docs.stamp
	@$(MKDOCS) build --strict

docs-serve: $(DOCS_VENV)/docs.stamp
	@exec $(MKDOCS) serve --dev-addr 127.0.0.1:8001

# known vulnerabilities of what requirements/*.txt name; asks a database on the network
audit: $(AUDIT_VENV)/audit.stamp
	@$(AUDIT_VENV)/bin/python .ci/audit.py

# all of goals.md, and the table of docs/benchmarks.md; some of it with ARGS="--only P1,P7"
bench: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks $(ARGS)

# 1000 kills under load, about 25 minutes; shorter with ARGS="--kills 100", on PostgreSQL with ARGS="--on postgres"
campaign: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.campaign $(ARGS)

# two of everything on PostgreSQL and Redis, each killed, restarted or taken away in turn, for 15 minutes
campaign-on-two-hosts: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.campaign_on_two_hosts $(ARGS)

# exact versions with hashes, from requirements/*.in; without addresses, so that any index can serve them
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv, which resolves for all platforms at once; install it first." >&2; exit 1; }
	for name in run dev docs audit; do \
		uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --quiet \
			requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done

$(VENV)/bin/python $(DOCS_VENV)/bin/python $(AUDIT_VENV)/bin/python: %/bin/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $* with $$("$$python" --version)"; \
			"$$python" -m venv $* && exit 0; \
			echo "'$$python -m venv' failed (on Debian and Ubuntu: install python3-venv)." >&2; rm -rf $*; exit 1; \
		fi; \
	done; echo "Python 3.11 or later is needed, and none of these is: $(PYTHONS). Install one, or say PYTHON=/path/to/it." >&2; exit 1

$(VENV)/run.stamp: requirements/run.txt | $(VENV)/bin/python
	@echo "Installing what it needs to run (once)"
	@$(PIP) install --require-hashes --requirement requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "Installing what developing and testing need (once)"
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

$(DOCS_VENV)/docs.stamp: requirements/docs.txt | $(DOCS_VENV)/bin/python
	@echo "Installing what the documentation needs (once)"
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@

$(AUDIT_VENV)/audit.stamp: requirements/audit.txt | $(AUDIT_VENV)/bin/python
	@echo "Installing what the audit needs (once)"
	@$(AUDIT_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@
