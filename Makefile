# Everything that is built lands in target/ and .venv/.

PYTHON ?= python3
VENV := .venv
DATA := python/onenb.data/scripts
# Real data for slow tests and benches, which skip what needs it where it is absent.
ONENB_CORPUS ?= $(abspath ../shared/data)
DEMO_PACKAGES := ipykernel nbclient nbformat pandas pyarrow scikit-learn
# moto's server is the S3 server of the tests and of `make demo S3=1`.
S3_PACKAGES := 'moto[server]'
# A second S3 server, of Rust; newer ones need a newer compiler.
S3S := s3s-fs@0.14.1
# Azure's own emulator, a package of Node; newer ones need a newer Node.
AZURITE := azurite@3.35.0
TEST_PACKAGES := $(DEMO_PACKAGES) $(S3_PACKAGES) 'dask[dataframe]' blake3 duckdb fsspec h5netcdf h5py openpyxl polars pytest ruff xarray \
	zarr zstandard

.PHONY: demo test test-rust test-python test-instructions test-slow bench bench-engine bench-goals bench-growth \
	bench-peers docs install venv wheel

# The whole product on real input. Prepares everything it needs; can be run again.
# `make demo S3=1` does the same with a bucket of an S3 server on loopback.
demo: $(VENV)/.demo $(if $(S3),$(VENV)/.s3) install
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" demo/run.sh $(if $(S3),--s3)

# Everything that must hold: format, lints, Rust and Python tests, what the hot paths cost.
test: test-rust test-python test-instructions

test-rust: $(VENV)/.s3 $(VENV)/.azurite
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked

test-python: $(VENV)/.test install
	$(VENV)/bin/ruff check python
	$(VENV)/bin/ruff check --isolated --line-length 120 --select E,F,W demo tests/*.py bench
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest -q python/tests

# Counts hold for one compiler and kind of processor; the check is skipped, and says so, elsewhere and without valgrind.
test-instructions: install
	$(PYTHON) bench/instructions.py target/release/onenb

# Acceptance runs that take minutes: many processes, kills, large streams, real version sets.
test-slow: $(VENV)/.s3 $(VENV)/.s3s $(VENV)/.azurite
	ONENB_CORPUS="$(ONENB_CORPUS)" cargo test --release --locked --features slow --test acceptance -- --nocapture
	cargo test --release --locked --features slow --lib no_life_of_a_remote -- --nocapture
	cargo test --release --locked --features slow --test histories
	cargo build --release --locked --package onenb
	$(VENV)/bin/python tests/fault_matrix.py target/release/onenb s3
	$(VENV)/bin/python tests/fault_matrix.py target/release/onenb gcs --every 3
	test ! -x $(VENV)/bin/s3s-fs || $(VENV)/bin/python tests/fault_matrix.py target/release/onenb s3s --every 3
	test ! -d $(VENV)/azurite/node_modules || $(VENV)/bin/python tests/fault_matrix.py target/release/onenb azure --every 3
	$(VENV)/bin/python tests/pushers.py target/release/onenb s3
	$(VENV)/bin/python tests/pushers.py target/release/onenb gcs
	test ! -d $(VENV)/azurite/node_modules || $(VENV)/bin/python tests/pushers.py target/release/onenb azure

# Figures: the engine's parts, printed, then onenb beside the installed peers, into `docs/performance.md`, then the goals
# that need no peer, printed.
bench: bench-engine bench-peers bench-goals

bench-engine:
	ONENB_CORPUS="$(ONENB_CORPUS)" cargo bench --locked --bench engine

bench-peers: $(VENV)/.test
	cargo build --release --locked --package onenb
	$(VENV)/bin/python bench/corpora.py target/bench --real "$(ONENB_CORPUS)"
	$(PYTHON) bench/run.py target/bench docs/bench/results.json --onenb target/release/onenb
	$(PYTHON) bench/report.py docs/bench/results.json docs/performance.md docs/bench

# The program and the Python package, both as built from here.
bench-goals: $(VENV)/.test install
	$(VENV)/bin/python bench/goals.py target/release/onenb --json docs/bench/goals.json

# Whether cost stays flat as a store and its history grow; takes long, and tens of GB go through.
bench-growth:
	cargo build --release --locked --package onenb
	$(PYTHON) bench/scaling.py target/release/onenb

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --package onenb

# A virtual environment with what builds the wheel.
venv: $(VENV)/.ready

$(VENV)/.ready: Makefile
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet 'maturin>=1.7,<2'
	touch $@

# What the demo and the tests need besides.
$(VENV)/.demo: $(VENV)/.ready
	$(VENV)/bin/python -m pip install --quiet $(DEMO_PACKAGES)
	touch $@

$(VENV)/.s3: $(VENV)/.ready
	$(VENV)/bin/python -m pip install --quiet $(S3_PACKAGES)
	touch $@

# What needs it is skipped, and says so, where it does not build.
$(VENV)/.s3s: $(VENV)/.ready
	cargo install --quiet --locked --features binary --root $(VENV) $(S3S) || echo "s3s-fs could not be installed"
	touch $@

# Azure's emulator, where there is npm; what needs it is skipped, and says so, where there is none.
$(VENV)/.azurite: $(VENV)/.ready
	npm install --silent --no-fund --no-audit --prefix $(VENV)/azurite $(AZURITE) || echo "azurite could not be installed"
	touch $@

$(VENV)/.test: $(VENV)/.ready
	$(VENV)/bin/python -m pip install --quiet $(TEST_PACKAGES)
	touch $@

# The wheel, in the virtual environment.
install: wheel
	$(VENV)/bin/python -m pip install --quiet --force-reinstall --no-deps target/wheels/onenb-*.whl

# One wheel that carries the package OneNB and the programs onenb and 1nb.
wheel: venv
	cargo build --release --locked --package onenb
	rm -rf $(DATA) target/wheels
	mkdir -p $(DATA)
	install -m 755 target/release/onenb $(DATA)/onenb
	install -m 755 target/release/onenb $(DATA)/1nb
	$(VENV)/bin/maturin build --release --locked --quiet --manifest-path python/Cargo.toml \
		--interpreter $(VENV)/bin/python --compatibility linux --out target/wheels
	@ls target/wheels
