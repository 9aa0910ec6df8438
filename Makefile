# One entry for people and for CI. Each target makes the virtual environment that it needs; after the first run
# nothing here needs a network, except `lock` and `exhibit`.

PYTHON ?= python3
PYTEST_ARGS ?=
FUZZ_TARGETS ?= archive gguf weights template prefix policy record recovery frozen

DEV := .venv
DEMO := .venv-demo
LOCKER := .venv-lock
TRAINING := .venv-exhibit

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help demo demo-real test laws lint bench fuzz vectors share exhibit lock clean

help:
	@echo 'make demo     pack, inspect, verify, damage, repack and extract a real language model; leaves demo/'
	@echo 'make demo-real  the same with a genuine chat model, fetched by digest (93 MB); leaves demo-real/'
	@echo 'make test     lint, then every test, the slow ones too (PYTEST_ARGS="-m '\''not slow'\''" for a quick run)'
	@echo 'make laws     every bit of small files flipped, where make test flips one of every byte (an hour)'
	@echo 'make lint     ruff and mypy'
	@echo 'make bench    the figures that the project promises, measured here'
	@echo 'make fuzz     every vector and 10,000 mutants of them, each within 10 s and 200 MB (FUZZ_COUNT, FUZZ_SEED); then'
	@echo '              50 s of fuzzing by coverage for each of eight readers (FUZZ_SECONDS)'
	@echo 'make vectors  write the test vectors and the identification skeletons again'
	@echo 'make share    write the man pages and completions again'
	@echo 'make exhibit  train the small model of the exhibit again (downloads PyTorch; minutes to an hour)'
	@echo 'make lock     pin the development dependencies again (needs a package index)'
	@echo 'make clean    remove the virtual environments, caches and the demo'

demo: $(DEMO)/.ready
	$(DEMO)/bin/python examples/demo.py

demo-real: $(DEMO)/.ready
	$(DEMO)/bin/python examples/demo_real.py

test: lint
	$(DEV)/bin/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# Laws of which `test` takes one bit of every byte, with all bits.
laws: $(DEV)/.ready
	LFF_EVERY_BIT=1 $(DEV)/bin/python -m pytest -n 2 --dist worksteal tests/laws $(PYTEST_ARGS)

lint: $(DEV)/.ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

bench: $(DEV)/.ready
	$(DEV)/bin/python -m tests.benchmarks

fuzz: $(DEV)/.ready
	$(DEV)/bin/python -m tests.fuzz.mutants --vectors --count $(or $(FUZZ_COUNT),10000) --seed $(or $(FUZZ_SEED),1)
	for target in $(FUZZ_TARGETS); do \
		$(DEV)/bin/python -m tests.fuzz.guided $$target --seconds $(or $(FUZZ_SECONDS),50) || exit 1; done

vectors: $(DEV)/.ready
	$(DEV)/bin/python -m spec.vectors.generate
	$(DEV)/bin/python -m spec.identification.generate

share: $(DEV)/.ready
	$(DEV)/bin/python -m share.generate

exhibit: $(TRAINING)/.ready
	$(TRAINING)/bin/python examples/exhibit/train.py --out examples/exhibit

# The index that this machine is set up with decides where packages come from; it is never written into the lock file.
lock: $(LOCKER)/.ready
	$(LOCKER)/bin/uv pip compile pyproject.toml requirements-dev.in --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command 'make lock' --output-file requirements-dev.lock --quiet

clean:
	rm -rf $(DEV) $(DEMO) $(LOCKER) $(TRAINING) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Virtual environments. The stamp `.ready` is written last, so an interrupted set-up is done again. A set-up that fails
# says why in its last line, behind everything that was printed on the way.

$(DEMO)/.ready: pyproject.toml
	$(call new_venv,$(DEMO))
	$(call set_up,$(DEMO),$(DEMO)/bin/python -m pip install --quiet --editable .)
	touch $@

$(DEV)/.ready: pyproject.toml requirements-dev.lock
	$(call new_venv,$(DEV))
	$(call set_up,$(DEV),$(DEV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dev.lock)
	$(call set_up,$(DEV),$(DEV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .)
	$(call set_up,$(DEV),$(DEV)/bin/python -m pip check)
	touch $@

$(TRAINING)/.ready: examples/exhibit/requirements-train.txt
	$(call new_venv,$(TRAINING))
	$(call set_up,$(TRAINING),$(TRAINING)/bin/python -m pip install --quiet --requirement examples/exhibit/requirements-train.txt)
	touch $@

$(LOCKER)/.ready:
	$(call new_venv,$(LOCKER))
	$(call set_up,$(LOCKER),$(LOCKER)/bin/python -m pip install --quiet uv)
	touch $@

define set_up
@echo '$(2)'
@$(2) >$(1)/set-up.log 2>&1 || { cat $(1)/set-up.log >&2; \
	cause=$$(grep -iE '^error|requires|has requirement|conflict' $(1)/set-up.log | tail -n 1); \
	echo "The set-up of $(1) failed: $${cause:-$$(tail -n 1 $(1)/set-up.log)}" >&2; exit 1; }
endef

define new_venv
@command -v $(PYTHON) >/dev/null || { echo '$(PYTHON) not found: install Python 3.11 or later' >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "llamafile-format needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	echo 'Name another one like this: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo 'This Python cannot make virtual environments: install the python3-venv package' >&2; \
	echo '(Debian, Ubuntu: apt-get install python3-venv), then run make again.' >&2; exit 1; }
$(PYTHON) -m venv $(1)
endef
