# On a machine with nothing but Python, pip and make: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Keras 2.15, in a Python that TensorFlow 2.15 knows: make test-legacy LEGACY_PYTHON=python3.11
LEGACY_PYTHON ?= $(PYTHON)
LEGACY := .venv-legacy
TORCH := .venv-torch
TENSORFLOW := .venv-tensorflow
PIP := -m pip install --quiet --disable-pip-version-check
# What is tested on PyTorch and TensorFlow as on JAX: engines, sources, callbacks, going on.
ANYWHERE := tests/backends tests/test_drawn_data.py
# What of it needs these libraries on JAX too.
ON_JAX := tests/backends/test_across_backends.py tests/backends/test_array_kinds.py
JUDGING := $(wildcard tests/judging/test_*.py)
SERVING := $(filter %/test_batching.py %/test_openapi.py %/test_page.py %/test_pages.py %/test_protocol.py \
	%/test_readme.py %/test_serve.py %/test_serve_parts.py %/test_serve_schema.py %/test_triton.py \
	%/test_watch.py,$(JUDGING))

.PHONY: demo test test-backends test-torch test-tensorflow test-judging test-exporting test-serving test-corpus test-legacy test-turns check format bench bench-data bench-serving fuzz soak clean

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable '.[dev]'
	touch $@

demo: $(BIN)/.installed
	$(BIN)/python examples/demo.py

test: $(BIN)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

# torch first, in this version: its build for the processor, without CUDA.
$(TORCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python $(PIP) torch==2.13.0
	$(TORCH)/bin/python $(PIP) torchdata --editable '.[dev,torch]'
	touch $@

$(TENSORFLOW)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TENSORFLOW)
	$(TENSORFLOW)/bin/python $(PIP) --editable '.[dev-judging,tensorflow]'
	touch $@

test-backends: test-torch test-tensorflow

test-torch: $(TORCH)/.installed
	KERAS_BACKEND=torch OMP_NUM_THREADS=1 $(TORCH)/bin/python -m pytest -n 2 $(ANYWHERE) tests/test_exact.py
	KERAS_BACKEND=jax OMP_NUM_THREADS=1 $(TORCH)/bin/python -m pytest -n 2 $(ON_JAX) tests/backends/test_torch_loader.py

test-tensorflow: $(TENSORFLOW)/.installed
	KERAS_BACKEND=tensorflow $(TENSORFLOW)/bin/python -m pytest -n 2 $(ANYWHERE)
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python -m pytest -n 2 $(ON_JAX) tests/backends/test_tfdata.py

test-judging: test-exporting test-serving

# Exported, and run in each runtime.
test-exporting: $(TENSORFLOW)/.installed
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python -m pytest -n 2 --dist loadfile $(filter-out $(SERVING),$(JUDGING))

# Served, and tried in a browser (Chromium, where it is installed).
test-serving: $(TENSORFLOW)/.installed
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python -m pytest -n 2 --dist loadfile $(SERVING)

$(LEGACY)/.installed:
	$(LEGACY_PYTHON) -m venv $(LEGACY)
	$(LEGACY)/bin/python $(PIP) tensorflow-cpu==2.15.1
	touch $@

test-legacy: $(BIN)/.installed $(LEGACY)/.installed
	HOLDFAST_TF215=$(CURDIR)/$(LEGACY)/bin/python $(BIN)/python -m pytest tests/legacy

test-corpus: $(BIN)/.installed
	HOLDFAST_TURNS=all $(BIN)/python -m pytest tests/test_corpus.py tests/test_going_on.py

# What make test does by turns, all of it.
test-turns: $(BIN)/.installed
	HOLDFAST_TURNS=all $(BIN)/python -m pytest $(shell grep -l '^from turns import' tests/test_*.py)

check: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Everything beside its peers, or a part: make bench ONLY=fit. Peers get environments of their own.
bench: $(BIN)/.installed
	LEGACY_PYTHON=$(LEGACY_PYTHON) $(BIN)/python bench $(if $(ONLY),--only $(ONLY)) $(if $(MNIST),--mnist $(MNIST))

# Data that comes in batches, on the three backends.
bench-data: $(BIN)/.installed $(TORCH)/.installed $(TENSORFLOW)/.installed
	$(BIN)/python bench/data.py
	$(BIN)/python bench/data.py --fingerprint
	KERAS_BACKEND=jax $(TORCH)/bin/python bench/data.py --only loader collated
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python bench/data.py --only tfdata
	KERAS_BACKEND=torch $(TORCH)/bin/python bench/data.py --only arrays pydataset loader
	KERAS_BACKEND=torch $(TORCH)/bin/python bench/data.py --only arrays --model cnn
	KERAS_BACKEND=tensorflow $(TENSORFLOW)/bin/python bench/data.py --only arrays pydataset tfdata
	KERAS_BACKEND=tensorflow $(TENSORFLOW)/bin/python bench/data.py --only arrays --model cnn

# What serves, against a bare endpoint.
bench-serving: $(TENSORFLOW)/.installed
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python bench/serve.py
	KERAS_BACKEND=jax $(TENSORFLOW)/bin/python bench/load.py

fuzz: $(BIN)/.installed
	$(BIN)/python bench/fuzz.py

soak: $(BIN)/.installed
	$(BIN)/python bench/soak.py $(if $(KILLS),--kills $(KILLS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) $(LEGACY) $(TORCH) $(TENSORFLOW) bench/.environments .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
