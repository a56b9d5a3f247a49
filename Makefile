# make demo   sets up .venv, runs the whole method on aspirin, writes demo/report.html
# make test   sets up .venv, runs the tests
# make benchmark   sets up .venv with the peers to compare with, measures, writes benchmark/speed.json and .png
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EVERYWHERE := openmm-ml,gaff,labels,plumed,tensorboard,hdf5
EXTRAS := openmm-torch,$(EVERYWHERE)
NEWER := .venv-newer-torch

.PHONY: setup demo benchmark test test-newer-torch lint clean

setup: $(VENV)/ready

$(VENV)/ready: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

# Tests need a C compiler besides: ParmEd has no wheels.
$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[$(EXTRAS),test]"
	touch $@

demo: setup
	$(BIN)/ffpt demo aspirin --output demo

benchmark: $(VENV)/ready-peers
	$(BIN)/python -m benchmarks.speed --output benchmark

# The reference NewtonNet pins packages that it does not use, so it comes without them.
$(VENV)/ready-peers: $(VENV)/ready benchmarks/peers.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --requirement benchmarks/peers.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps newtonnet==2.0.1
	touch $@

test: $(VENV)/ready-test
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# Everything but TorchForce works with a newer torch too: forces go through OpenMM's PythonForce.
test-newer-torch: $(NEWER)/ready
	$(NEWER)/bin/python -m pytest -n 2 --dist worksteal tests

$(NEWER)/ready: setup.cfg pyproject.toml
	test -x $(NEWER)/bin/python || $(PYTHON) -m venv $(NEWER)
	$(NEWER)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(NEWER)/bin/uv pip install --quiet --python $(NEWER)/bin/python "torch==2.13.0" --editable ".[$(EVERYWHERE),test]"
	touch $@

# The gates alone, which are tests too: ruff, mypy, what may import what, documents.
lint: $(VENV)/ready-test
	$(BIN)/python -m pytest -q tests/gates

clean:
	rm -rf $(VENV) $(NEWER) demo benchmark
