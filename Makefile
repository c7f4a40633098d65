# A fresh machine needs Python 3.11 or 3.12 and make; everything else is installed into .venv.
# The first of these that runs and is of a version that tensorflow-io has wheels for.
PYTHON ?= $(shell for each in python3.12 python3.11 python3 python; do $$each -c 'import sys; \
	sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-all fuzz bench results tools web lint clean

install: $(INSTALLED)

demo: $(INSTALLED)
	$(VENV)/bin/avel demo --out demo

# A process for each processor; files are kept whole, so that what they share is made once.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

# What a change is likely to break, in the order of tests/conftest.py.
test: $(INSTALLED)
	$(PYTEST) --no-loadscope-reorder -m "not slow"

# Everything: then kill matrices, trainings, distillation and whole commands, too. Two processes more
# than processors, because many of these tests wait for processes that they kill or start.
test-all: test
	$(PYTEST) --numprocesses $$(($$(nproc) + 2)) -m slow

# The long sets of what runs in short in `make test-all`: damaged files, and runs killed at any moment.
fuzz: $(INSTALLED)
	AVEL_MUTANTS=10000 AVEL_KILLS=50 $(VENV)/bin/python -m pytest -s \
		tests/video/test_mutants.py tests/video/test_random_timing.py tests/inference/test_resume.py
	AVEL_KILLS=20 $(VENV)/bin/python -m pytest -s tests/cluster/test_kills.py

# Everything measured, against a PyTorch pipeline where PyTorch is installed; benchmarks/run.py says
# more. Takes half an hour on two cores that have nothing else to do.
PEER_PYTHON ?= $(VENV)/bin/python
bench: $(INSTALLED)
	$(VENV)/bin/python benchmarks/run.py --peer-python $(PEER_PYTHON)

# The tables of docs/design/accuracy.md, which says what each command does; HARD is the set of
# benchmarks/accuracy/hard_set.py. Needs the shared pictures, sounds and backbones, and hours.
SHARED ?= ../shared
HARD ?= hard
ACCURACY := $(VENV)/bin/python benchmarks/accuracy
REAL_BACKBONES := --set embeddings.visual.module=$(abspath $(SHARED))/backbones/mobilenet_v2_100_224 \
	--set embeddings.audio.module=$(abspath $(SHARED))/backbones/yamnet
results: $(INSTALLED)
	mkdir -p results
	$(ACCURACY)/audioset.py $(SHARED)/audioset_vggish/bal_train_ave28.npz --out results/audioset.json
	$(ACCURACY)/learning_curve.py $(SHARED)/audioset_vggish/bal_train_ave28.npz --per-class 3 --draws 2 --out results/learning_curve.json
	test -f results/few.npz || $(ACCURACY)/few_features.py $(SHARED) --out results/few.npz
	$(ACCURACY)/few_examples.py results/few.npz --out results/few_examples.json
	test -d results/real || $(VENV)/bin/avel extract $(SHARED)/clips --out results/real --config pipelines/offline.yaml
	$(ACCURACY)/real_clips.py results/real --per-class 3 --out results/real_clips.json
	test -f results/few_ave.npz || $(ACCURACY)/few_features.py $(SHARED) --ave --out results/few_ave.npz
	$(ACCURACY)/learning_curve.py results/few_ave.npz --per-class 3 --draws 1 --out results/few_ave.json
	test -d $(HARD) || $(ACCURACY)/hard_set.py $(HARD) --train 805 --validation 100 --test 300
	test -d results/hard || $(VENV)/bin/avel extract $(HARD) --out results/hard $(REAL_BACKBONES)
	$(ACCURACY)/ablation.py results/hard --set training.epochs=40 --out results/ablation.json

# FiftyOne and Label Studio's own library, which open what is written for them in the tests. An
# environment of their own, because they need other versions of NumPy and OpenCV.
TOOLS := .tools/.installed
tools: $(TOOLS)
$(TOOLS): Makefile $(INSTALLED)
	$(VENV)/bin/python -m venv .tools
	.tools/bin/python -m pip install --quiet 'fiftyone>=1.22' 'label-studio-sdk>=2.1'
	touch $(TOOLS)

# The page of avel serve; needs Node.js 20. The bundle is part of the package.
web:
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run check && npm run build

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest tests/test_architecture.py

clean:
	rm -rf $(VENV) .tools demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): setup.cfg requirements.txt
	@test -n "$(PYTHON)" || { echo "avel-tf needs Python 3.11 or 3.12 (tensorflow-io has no wheel \
	for others), and found neither. Say where one is: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $(INSTALLED)
