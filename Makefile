# make demo      the whole workflow on a simulated screen, ending with a report (8 minutes on 2 cores with AVX-512)
# make showcase  two networks side by side, trained for longer (26 minutes on the same 2 cores)
# make demo-tables  every table and figure of both papers on a simulated screen (20 minutes on 2 cores)
# make test      all tests
# make benchmark  how fast everything is, into benchmarks/RESULTS.md (at most 20 minutes, alone)
# make check     formatting, types and the workflow's linter
# make lock      pin the environment anew from pyproject.toml

# Neither make nor the first lines of a virtual environment's programs take a blank in a path.
ifneq ($(words [$(CURDIR)]),1)
$(error The folder "$(CURDIR)" has a blank in its path: clone into one without, nothing was installed)
endif

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Each job is a process of its own: without bytecode it compiles a thousand modules anew. Containers
# often forbid to write it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: environment demo showcase demo-tables test check benchmark schema lock clean

environment: $(READY)

# Without bytecode: each module is compiled when it is first imported, most are never.
INSTALL := workflow/envs/morphpipe.post-deploy.sh
$(READY): requirements.lock torch.lock pyproject.toml $(INSTALL)
	@echo "Making the environment in $(VENV): 2 GB, 6 GB with CUDA; one to three minutes ..."
	$(PYTHON) -m venv $(VENV)
	PIP_QUIET=1 PIP_COMPILE=0 bash $(INSTALL)
	touch $(READY)

demo: $(READY)
	@$(BIN)/morphpipe estimate config/demo.yaml
	@$(BIN)/snakemake --profile profiles/local --configfile config/demo.yaml
	@echo "The report: $(CURDIR)/results/demo/report/index.html"

showcase: $(READY)
	@$(BIN)/morphpipe estimate config/showcase.yaml
	@$(BIN)/snakemake --profile profiles/local --configfile config/showcase.yaml
	@echo "The report: $(CURDIR)/results/showcase/report/index.html"

demo-tables: $(READY)
	@$(BIN)/morphpipe estimate config/demo-tables.yaml
	@$(BIN)/snakemake --profile profiles/local --configfile config/demo-tables.yaml
	@echo "The report: $(CURDIR)/results/demo-tables/report/index.html"
	@echo "The tables and figures: $(CURDIR)/results/demo-tables/papers"

# The workflow makes CellProfiler's environment by itself; the tests share this one.
test: $(READY)
	@echo "CellProfiler's environment, made once in environments/: some 900 MB, one or two minutes ..."
	$(BIN)/morphpipe environment cellprofiler
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --configfile config/demo.yaml

benchmark: $(READY)
	$(BIN)/python benchmarks/results.py

schema: $(READY)
	$(BIN)/python -m morphpipe.config.documents

lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv '.[workflow,develop,build]'
	$(VENV)-lock/bin/pip freeze --all --exclude pip --exclude uv --exclude morphpipe | \
	  sed 's/+cpu//' > $(VENV)-lock/pins
	@{ echo "# torch, whose builds for CPUs and for CUDA have one version and many checksums."; \
	   grep -E '^(torch|torchvision)==' $(VENV)-lock/pins; } > torch.lock
	@{ echo "# Every other package of the environment, with the checksums of its files."; \
	   echo "# Made by make lock with Python 3.11 from pyproject.toml."; \
	   grep -vE '^(torch|torchvision|triton|cuda-.*|nvidia-.*)==' $(VENV)-lock/pins | \
	   $(VENV)-lock/bin/uv pip compile --quiet --no-deps --generate-hashes --no-header \
	     --no-annotate --python $(VENV)-lock/bin/python -; } > requirements.lock
	rm -r $(VENV)-lock

clean:
	rm -rf results scratch
