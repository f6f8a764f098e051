# Everything runs in .venv, which is made on first use. DATA: the folder of the datasets, if there is one.
PYTHON ?= python3
DATA ?= $(or $(REFINEFUSE_DATA),$(wildcard ../shared/data))
BIN := .venv/bin
# What `make test` selects, and what `make lowest` runs.
SELECT ?=
LOWEST ?= tests/network tests/metrics tests/losses tests/weights tests/image tests/test_filters.py
SAMPLE ?= 300
SEED ?= 0
export REFINEFUSE_DATA := $(DATA)

.PHONY: fuse samples test check bench fuzz kills clients mutants snapshots ablation results detection docs site web web-test napari-test clean

fuse: .venv/installed
	@PATH="$(BIN):$$PATH" sh examples/first_pair.sh "$(DATA)" out

test: .venv/developing
	$(BIN)/pytest $(SELECT)

check: .venv/developing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not slow"

# The lowest versions that pyproject.toml allows, but the torch of constraints.txt, in an environment of their own: a
# minute to install, two or three for the tests.
lowest: .venv/developing
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --override constraints.txt --editable ".[all]" "pytest>=8.3" "pytest-timeout>=2.3" "hypothesis>=6.120" "beartype>=0.20"
	.venv-lowest/bin/pytest -m "not slow" -W default $(LOWEST)

bench: .venv/developing
	$(BIN)/python benchmarks/performance.py docs/performance.md
	for file in benchmarks/bench_*.py; do PYTHONPATH=tools $(BIN)/python $$file || exit 1; done

# The networks of the ablation, which `make results` then compares.
ablation: .venv/developing
	$(BIN)/python benchmarks/ablation.py runs/ablation

# Every experiment of recipes/benchmark but detection and segmentation, and docs/results.md from it; resumes where it stopped.
results: .venv/developing
	$(BIN)/python benchmarks/results.py runs/benchmark

# The studies of detection and segmentation, and the results in docs/detection.md from them; resumes where it stopped.
detection: .venv/developing
	$(BIN)/python benchmarks/detection.py runs/detection

# The documents that are made from tables, the file of the public surface, and the site.
docs: .venv/developing
	for file in tools/*.py; do $(BIN)/python $$file || exit 1; done
	$(MAKE) site

# What the weights make of small pairs, and the help texts, recorded anew: after a change that is meant. Look at the diff.
snapshots: .venv/developing
	$(BIN)/python tests/golden/regenerate.py
	$(BIN)/python tests/cli/helps.py

# Changes the code at many positions and counts how often a test notices: docs/testing.md. SAMPLE and SEED say in which.
mutants: .venv/developing
	$(BIN)/pip install --quiet --constraint constraints.txt --group mutation
	$(BIN)/python tests/mutation/mutants.py --sample $(SAMPLE) --seed $(SEED)

# The sample pairs that ship with the package, from code.
samples: .venv/developing
	$(BIN)/python tools/rendering

# The browser page, in web/dist: one file with runtime and network, and the service worker; and the page of the studio,
# in src/refinefuse/studio/page. Needs node 20 or later.
web: .venv/developing
	$(BIN)/python web/export.py web/models
	cd web && npm ci --no-audit --no-fund && npm run build && npm run build:studio

web-test: web
	rm -rf web/tests/reference
	PYTHONPATH=tools $(BIN)/python web/tests/reference.py web/tests/reference
	cd web && npm test && if sh tests/chromium.sh; then npm run test:browser; fi

clean:
	rm -rf .venv .venv-lowest out web/dist web/models web/node_modules web/tests/reference

# torch first and alone: a resolver that is free to choose takes a build with gigabytes of CUDA.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --constraint constraints.txt torch
	$(BIN)/pip install --constraint constraints.txt --editable .
	touch $@

.venv/developing: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[align,benchmark,detection,hub,medical,onnx,openvino,ray,torchmetrics,train,video,web]" --group dev
	touch $@

# 10,000 damaged files for every kind of file that the package reads; inputs that fail are kept in out/fuzz.
fuzz: .venv/developing
	$(BIN)/python tests/fuzz/run.py --inputs 10000

# Kills runs of every kind at random moments and runs them again: docs/reliability.md. KILLS says how often each.
KILLS ?= 12
kills: .venv/developing
	$(BIN)/python tests/kills/run.py --kills $(KILLS)

# The plug-in in napari itself, without a screen; installs napari and Qt.
napari-test: .venv/developing
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[napari]" PyQt6
	$(BIN)/pytest tests/napari

# What other programs make of our files, in docs/compatibility.md: installs those that are missing from Debian's packages.
clients: .venv/developing
	$(BIN)/python tests/clients/run.py --install
	$(BIN)/python tests/clients/exports.py --write

# The documentation as a web site, in out/site; broken links and anchors fail.
site: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --group docs
	$(BIN)/mkdocs build --strict --quiet
