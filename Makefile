# The two commands to start with are `make demo` and `make test`; they install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast test-lowest test-day test-cluster lint docs bench fuzz faults soak lock clean

demo: .venv/runtime
	$(BIN)/vaepipe demo

# In as many processes as there are cores, each with one thread, a file in one of them.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

test: .venv/dev
	$(BIN)/pytest $(PARALLEL)

# What takes no real Ray, no server and no whole stage: a minute on two cores.
test-fast: .venv/dev
	$(BIN)/pytest $(PARALLEL) -m 'not slow and not cluster and not day'

# A day of ordinary use with DVC's own commands, in a clone and in a workspace; trainings that are
# killed or diverge, and a cluster whose CPUs are taken: some ten minutes.
test-day: .venv/dev
	$(BIN)/pytest -m day

# A real `ray up` on hosts that are namespaces of this machine: rootful, a quarter of an hour.
test-cluster: .venv/dev
	$(BIN)/pytest -m cluster -rs -s

# On the lowest versions that pyproject.toml admits: some gigabytes to download, a few minutes.
test-lowest:
	rm -rf build/lowest && $(PYTHON) -m venv build/lowest
	build/lowest/bin/python tests/project/lowest_versions.py > build/lowest/constraints.txt
	build/lowest/bin/pip install --quiet --upgrade pip
	build/lowest/bin/pip install --quiet --constraint build/lowest/constraints.txt --editable '.[pipeline,search]' --group dev
	build/lowest/bin/pytest $(PARALLEL) -m 'not slow and not cluster and not day'

# Three quarters of an hour on two cores that do nothing else; `--only one-core all-channels`, the race alone, takes 25.
bench: .venv/bench
	$(BIN)/python -m bench

# N random SIGKILLs, each followed by `dvc repro`: about half a minute each.
N ?= 20
# So many damaged copies of each file.
fuzz: .venv/dev
	VAEPIPE_MUTANTS=$(N) $(BIN)/pytest tests/system/test_damaged_files.py
	VAEPIPE_EXAMPLES=$(N) $(BIN)/pytest tests/pipeline/data/own/test_any_source.py

# Every call of every command fails with every error: one to two hours of a core. `make faults N=200` draws so many of
# each command. Of what runs on real Ray, half a minute a run, ten are drawn.
faults: .venv/dev
	$(BIN)/python -m tests.system.faults $(if $(filter command% environment,$(origin N)),--most $(N))

soak: .venv/dev
	$(BIN)/python tests/system/soak.py $(N)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# README.md, docs/ and the reference as a site: build/site/index.html. A broken link is an error.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

# With dependencies, although the lock names them: on Linux the public index has torch with CUDA, whose
# libraries the lock leaves out, since a machine without a GPU has no use for their gigabytes.
.venv/runtime: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv/bench: .venv/runtime
	$(BIN)/pip install --quiet --constraint requirements.txt --editable '.[bench]'
	touch $@

.venv/dev: .venv/runtime requirements-dev.txt
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

.venv/docs: .venv/dev requirements-docs.txt
	$(BIN)/pip install --quiet --requirement requirements-docs.txt
	touch $@

# Newest versions that pyproject.toml admits. Local versions, as in torch==2.13.0+cpu, are on no public index.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[pipeline,search]'
	build/lock/bin/pip freeze --exclude vaepipe | sed 's/+.*//' > requirements.txt
	build/lock/bin/pip install --quiet --upgrade pip
	build/lock/bin/pip install --quiet --group dev
	build/lock/bin/pip freeze --exclude vaepipe | sed 's/+.*//' | comm -13 requirements.txt - > requirements-dev.txt
	build/lock/bin/pip install --quiet --group docs
	build/lock/bin/pip freeze --exclude vaepipe | sed 's/+.*//' | sort > build/lock/all.txt
	sort requirements.txt requirements-dev.txt | comm -13 - build/lock/all.txt > requirements-docs.txt
	rm -rf build/lock

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache
	find vae pipeline tests -name __pycache__ -prune -exec rm -rf {} +
