# Everything a developer types. Each target does all the set-up that it needs, in the tree: a fresh clone on a machine with
# Python >= 3.11 and Rust needs nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# pip says 60 times that a requirement is satisfied; only what goes wrong is worth a line.
export PIP_QUIET := 1
# One version look-up less, and no advice to upgrade.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every server that a test starts would compile all of pelton again: half of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup build run simulate test test-rust test-python check lint lint-rust lint-python test-rust-compiled format bench instructions wheels docs fuzz fuzz-short clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.tools: pyproject.toml
	@command -v cargo >/dev/null || { echo "pelton's front is written in Rust: install it from https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group dev
	@touch $@

# The release profile even for tests: what is tested is what is shipped, and its races are the real ones.
$(VENV)/.built: $(VENV)/.tools $(RUST_SOURCES)
	$(BIN)/maturin develop --quiet --release
	@touch $@

setup: $(VENV)/.tools ## Make the virtual environment with all development tools

build: $(VENV)/.built ## Build the native module and install pelton into the virtual environment

run: build ## Serve the example on http://127.0.0.1:8000
	$(BIN)/pelton examples/hello.py

test: test-rust test-python ## Run all tests

test-rust: $(VENV)/.tools ## Run the Rust tests
	cargo test --workspace --quiet --no-fail-fast
	cargo test --quiet --package pelton-link --features interleavings interleavings

# For the gate, which has a processor left while the native module's last step runs on the other.
test-rust-compiled: lint-rust
	cargo test --workspace --quiet --no-run
	cargo test --quiet --package pelton-link --features interleavings --no-run

# Most tests wait for something (a server's start, a time-out), so three run beside each other on two cores.
test-python: build ## Run the Python tests: unit, contract and end-to-end over real sockets
	$(BIN)/pytest -n 3 --dist worksteal

check: lint ## Lints, unit tests and some histories of the simulation, in under a minute after a build
	SEEDS=200 cargo test --workspace --lib --quiet
	$(BIN)/pytest -q -n 3 tests/unit

lint: lint-rust lint-python ## Check formats, types and lints of both languages

# Needs nothing that is built: `make -j2 lint` looks at the sources while the native module's last step runs on one processor.
lint-rust: $(VENV)/.tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --package pelton-link --tests --features interleavings --quiet -- -D warnings

lint-python: build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.tools ## Format both languages
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

bench: build ## Measure pelton beside its peers (about 25 minutes; installs them into benchmarks/.venv)
	$(PYTHON) -m benchmarks.run --setup
	$(PYTHON) -m benchmarks.run

instructions: build ## Count instructions per request and compare with the committed figures
	$(PYTHON) -m benchmarks.instructions

# RUSTC_BOOTSTRAP: the flags for sanitizers are not stable; the stable compiler has them nevertheless.
# AWS_LC_SYS_CMAKE_BUILDER=0: with a sanitizer aws-lc would ask for cmake.
FUZZ_TARGETS := head chunked connection proxy_header forwarded ranges conditions accept_encoding file_name h2 tls_beginning tls_records
FUZZ_SECONDS ?= 600
SEEDS ?= 100000
FUZZ_RUN = cd fuzz && AWS_LC_SYS_CMAKE_BUILDER=0 RUSTC_BOOTSTRAP=1 cargo fuzz run --release $(1) -- -max_total_time=$(2) -max_len=2048 -dict=http.dict -print_final_stats=1

simulate: ## Play SEEDS histories of the front (100,000), or the one of SEED, without sockets and clocks
	SEEDS=$(SEEDS) SEED=$(SEED) cargo test --release --quiet -p pelton-front simulation -- --nocapture

wheels: $(VENV)/.tools ## Build wheels for every Python that is here, and the source distribution, and try them
	$(BIN)/pip install --quiet --group release
	$(BIN)/python tools/wheels.py

docs: $(VENV)/.tools ## Build the documentation site into target/site; a link that leads nowhere is an error
	$(BIN)/pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

fuzz: fuzz/.ready ## Fuzz each target of fuzz/ for FUZZ_SECONDS (10 minutes)
	@for target in $(FUZZ_TARGETS); do ($(call FUZZ_RUN,$$target,$(FUZZ_SECONDS))) || exit 1; done

fuzz-short: ## The same, 5 seconds each
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=5

.PHONY: fuzz/.ready
fuzz/.ready:
	@command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz
	@$(PYTHON) fuzz/seeds.py

clean: ## Remove everything that was built
	rm -rf target fuzz/target $(VENV) benchmarks/.venv
