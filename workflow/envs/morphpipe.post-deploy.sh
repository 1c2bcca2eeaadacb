#!/usr/bin/env bash
# Fills a new environment, from the repository's folder: that of `make`, of the container, and of
# conda, in which Snakemake runs this by its name. (conda's own `pip:` section cannot: checksums of
# packages and an editable install exclude each other.)
set -euo pipefail
pip install --no-deps --require-hashes --requirement requirements.lock
# As the index offers it, with the CUDA libraries that its build names, or none.
pip install --requirement torch.lock
# With the hatchling of the lock: pip would fetch one of its own, whichever is the newest.
pip install --no-deps --no-build-isolation --editable .
