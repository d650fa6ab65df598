# make demo   run the main job: a real Kafka cluster, broken and healed
# make test   what needs no root, with a plain and a secured cluster; make check: style, types, layers
# make test-all   also ZooKeeper mode, separate controllers, 2,000 partitions, crashes of the daemon
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)

.PHONY: demo test test-heavy test-all check bench sim install clean lab-packages lab-up lab-down test-lab
.DEFAULT_GOAL := test

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "kafka-self-healing needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Use: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "This Python has no ensurepip. On Debian and Ubuntu: apt-get install python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@$(BIN)/uv sync --quiet --frozen --all-extras --inexact --python $(BIN)/python
	@touch $@

demo: install
	@$(BIN)/kafka-self-healing demo $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-cache

test: check
	$(BIN)/python -m tests.budget

test-heavy: install
	$(BIN)/python -m tests.budget heavy

LAB := LAB_PYTHON=$(CURDIR)/$(BIN)/python tests/lab/lab

lab-packages:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq systemd-container mmdebstrap nftables iproute2 e2fsprogs openssh-client procps docker.io busybox-static

lab-up: install
	$(LAB) up $(or $(MODE),kraft)

lab-down: install
	$(LAB) down

# Root and Debian only; `.ci/run` says so where it is neither.
test-lab: install
	$(BIN)/python -m tests.budget lab

test-all: check
	$(BIN)/python -m tests.budget all

bench: install
	$(BIN)/python -m bench

# Without SEEDS the full run (about half an hour), which writes its page; with it a shorter one.
sim: install
	$(BIN)/kafka-self-healing simulate --seeds $(or $(SEEDS),20000) \
	  --tier-b $(or $(TIER_B),$(if $(SEEDS),10,500)) \
	  $(if $(filter 20000,$(or $(SEEDS),20000)),--page docs/explanation/simulation-report.md)

clean:
	rm -rf $(VENV) build dist
