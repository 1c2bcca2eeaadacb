# The configuration, and what Snakemake needs for all rules. Paths and params: src/morphpipe/plan/.
import re
import sys
from contextlib import ExitStack

from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import MorphpipeError
from morphpipe.imaging.crop_orders import CROP_ORDERS, OWN_ORDER
from morphpipe.plan.checks import check_workflow, plan_run
from morphpipe.plan.params import options, plain
from morphpipe.plan.paths import Plan

# Snakemake hands the path of this Python to bash, which takes what follows a blank for an argument.
if re.search(r"\s", sys.executable):
    sys.exit(
        f"\nmorphpipe's Python, {sys.executable}, has a blank in its path, with which no job starts: "
        "put the folder, or the environment, where there is none.\n"
    )

try:
    # Snakemake lets the last of two equal keys count.
    for _file in workflow.configfiles:
        if str(_file).endswith((".yaml", ".yml")):
            read_yaml(_file)
    CONFIGURATION = plan_run(config)
    check_workflow(CONFIGURATION)
except MorphpipeError as error:
    sys.exit(f"\n{error}\n")

PLAN = Plan(CONFIGURATION)
DATASETS, SPLITS = CONFIGURATION.datasets, CONFIGURATION.splits
AUTOENCODERS, ENCODERS = CONFIGURATION.autoencoders, CONFIGURATION.encoders
EXPERIMENTS, COMPARISONS = CONFIGURATION.experiments, CONFIGURATION.comparisons
MORPHOLOGY = CONFIGURATION.morphology
RESULTS = CONFIGURATION.paths.results
CACHE = CONFIGURATION.paths.cache
SCRATCH = CONFIGURATION.paths.scratch
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
# Held until Snakemake ends, see weights.smk.
RESULTS_IN_USE = ExitStack()


def one_of(names):
    """A wildcard's pattern: one of these names, or nothing at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(DATASETS),
    split=one_of(SPLITS),
    autoencoder=one_of(AUTOENCODERS),
    encoder=one_of(ENCODERS),
    experiment=one_of(EXPERIMENTS),
    comparison=one_of(COMPARISONS),
    weights=one_of(CONFIGURATION.weights),
    condition=one_of(CONFIGURATION.conditions),
    morphology=one_of(MORPHOLOGY),
    mode="channels|rgb",
    augmentation="none|flip|dihedral",
    order=one_of([OWN_ORDER, *CROP_ORDERS]),
    size=r"\d+",
    shard=r"\d+",
    # Real images of a dataset, or generated ones of an experiment and a pair of its seeds.
    images=one_of(PLAN.all_images()),
    part=r"(training-\d+_sampling-\d+/)?",
    patch=r"\d+",
    slice=r"\d+",
    training_seed=r"\d+",
    sampling_seed=r"\d+",


# A job is repeated when one of its params has changed. Snakemake compares those that depend on
# wildcards alone: what a result does not depend on (paths, batch sizes, devices) is passed on by
# functions of `input`, and what else it depends on stands in `compared`. docs/reruns.md has the list
# for every key of the configuration.
def growing(value):
    """Memory (MB) or time (minutes) of which a job that failed gets more at the next attempt."""
    return lambda wildcards, attempt: value * attempt
