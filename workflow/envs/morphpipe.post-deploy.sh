#!/usr/bin/env bash
# Fills the environment that conda has made. Snakemake runs this in it, from the working directory.
# conda's own `pip:` section cannot: checksums of packages and an editable install exclude each other.
set -euo pipefail
pip install --no-deps --require-hashes --requirement requirements.lock
pip install --requirement torch.lock
pip install --no-deps --editable .
