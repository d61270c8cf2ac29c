# Everything that is built lands in target/ and .venv/.

PYTHON ?= python3
VENV := .venv
DATA := python/onenb.data/scripts

.PHONY: venv wheel

# A virtual environment with what builds the wheel.
venv: $(VENV)/.ready

$(VENV)/.ready: Makefile
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet 'maturin>=1.7,<2'
	touch $@

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
