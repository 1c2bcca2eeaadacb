"""Whether the files of a run are whole, complete, and made from one another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from morphpipe.core.checksums import RECORD, check_recorded, read_record
from morphpipe.core.errors import ConfigError, DataError, MorphpipeError
from morphpipe.core.storage import read_parquet, sha256_of_file
from morphpipe.tables.archive import read_fields
from morphpipe.tables.array_shards import ArrayShards
from morphpipe.tables.checkpoint_state import STATE, CheckpointState, read_state
from morphpipe.tables.feature_table import read_extraction
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.lineage import check_name, identity_of, read_lineage, shown

_BATCH = 64


@dataclass
class Verification:
    """What was looked at, and what is wrong with it.

    Attributes
    ----------
    checked
        Number of files or folders by kind.
    faults
        A sentence each.
    """

    checked: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def check(self, kind: str, look: Callable[[], object]) -> bool:
        """Count a check, and keep what it says is wrong; whether nothing is."""
        self.checked[kind] = self.checked.get(kind, 0) + 1
        try:
            look()
        except MorphpipeError as error:
            self.faults.append(str(error))
            return False
        return True


def verify_results(results: str | Path, *, pixels: bool = True) -> Verification:
    """Look through the folder of a run.

    Tables, archives, arrays, weights and checkpoints are compared with the checksums that they
    carry, and the identities of what they were made from with what is there. Then latents with the
    autoencoder of the checkpoints, features with the weights of their encoder and with the images
    of their archive, the slices of a training with one another.

    Parameters
    ----------
    results
        The folder, `paths.results` of the configuration.
    pixels
        Whether every image is unpacked as well, which takes most of the time.

    Raises
    ------
    ConfigError
        When there is no such folder.
    """
    results = Path(results)
    if not results.is_dir():
        raise ConfigError(f"There is no folder {results}: name the results of a run.")
    found = Verification()
    for path in tqdm(_files(results, "*.parquet"), desc="tables", unit="file", mininterval=5):
        found.check("tables", partial(read_parquet, path))
    for path in tqdm(_files(results, "*.zip"), desc="archives", unit="file", mininterval=5):
        found.check("image archives", partial(_read_images, path, pixels))
    for path in _files(results, RECORD):
        found.check("networks", partial(_check_record, path))
    _verify_lineage(results, found)
    arrays = _verify_arrays(results, found)
    _verify_trainings(results, found, arrays)
    _verify_features(results, found)
    return found


def _files(folder: Path, pattern: str) -> list[Path]:
    """Files of a run, without what a job that was killed has left half-written."""
    return sorted(path for path in folder.rglob(pattern) if not path.name.startswith("."))


def _read_images(path: Path, pixels: bool) -> None:
    fields = read_fields(path)
    if pixels:
        with FieldReader(fields) as reader:
            for row in range(len(fields)):
                reader.read(row)


def _check_record(path: Path) -> None:
    for name in read_record(path.parent)["sha256"]:
        if not (path.parent / name).is_file():
            raise ConfigError(f"{path} names {name}, which is not there.")
        check_recorded(path.parent / name)


def _verify_lineage(results: Path, found: Verification) -> None:
    """Compare what every file was made from with what is there."""
    files = [
        path for kind in ("*.parquet", "*.zip", RECORD, STATE) for path in _files(results, kind)
    ]
    made_of: dict[tuple[str, str], list[Path]] = {}

    def look(path: Path) -> None:
        lineage = read_lineage(path)
        if lineage is not None:
            check_name(path, lineage)
            for entry in lineage.inputs.items():
                made_of.setdefault(entry, []).append(path)

    for path in tqdm(files, desc="lineage", unit="file", mininterval=5):
        found.check("lineages", partial(look, path))
    for (place, identity), made in made_of.items():
        found.check("inputs", partial(_check_input, Path(place), identity, made))


def _check_input(path: Path, identity: str, made: list[Path]) -> None:
    """Stop where a file is another than the one that some were made from."""
    if path.is_file() and identity_of(path) != identity:
        others = f" and {len(made) - 1} other files" if len(made) > 1 else ""
        raise DataError(
            f"{shown(path)} is another than the one that {made[0]}{others} were made "
            "from: one of the two is of another run, or has been changed since. Delete the wrong "
            "one, and rerun the workflow."
        )


def _verify_arrays(results: Path, found: Verification) -> dict[str, Path]:
    """Check latents and alignment targets; which autoencoder made the latents of which folder."""
    made: dict[str, Path] = {}
    folders = {path.parent for path in _files(results, "*.npy")}
    for folder in tqdm(sorted(folders), desc="arrays", unit="folder", mininterval=5):

        def look(folder: Path = folder) -> None:
            shards = ArrayShards(sorted(folder.glob("shard-*.parquet")))
            shards.close()
            if folder.parent.name == "latents" and shards.made_by is not None:
                made[shards.made_by] = folder

        found.check("latents and targets", look)
    return made


def _verify_trainings(results: Path, found: Verification, latents: dict[str, Path]) -> None:
    """Check the checkpoints of each training, and that they follow one another."""
    for seed in sorted({path.parents[1] for path in _files(results, STATE)}):
        states: dict[int, CheckpointState] = {}

        def look(folder: Path, states: dict[int, CheckpointState] = states) -> None:
            states[int(folder.name.removeprefix("slice-"))] = read_state(folder)

        for folder in sorted(seed.glob("slice-*")):
            found.check("checkpoints", partial(look, folder))
        found.check("trainings", partial(_follow, seed, states, latents))


def _follow(seed: Path, states: dict[int, CheckpointState], latents: dict[str, Path]) -> None:
    for number, state in states.items():
        training = state.settings["training"]
        expected = training["steps"] // training["slices"] * (number + 1)
        if state.step != expected:
            raise ConfigError(
                f"{seed}/slice-{number} is of step {state.step:,}, the end of its slice is step "
                f"{expected:,}: it is another slice's. Delete it, and train it again."
            )
        if state.autoencoder is not None and latents and state.autoencoder not in latents:
            raise ConfigError(
                f"{seed}/slice-{number} was trained on latents of the autoencoder "
                f"{state.autoencoder[:12]}, those that are there are of "
                f"{', '.join(f'{name[:12]} ({folder})' for name, folder in latents.items())}."
            )
    if len({state.identity for state in states.values()}) > 1:
        raise ConfigError(f"The slices of {seed} are of different settings or data.")


def _verify_features(results: Path, found: Verification) -> None:
    """Check that features are of the encoder's weights, and of every image of their archive."""
    weights: dict[str, tuple[str, Path]] = {}
    for path in _files(results / "encoders", "weights.safetensors"):
        weights[path.parent.name] = sha256_of_file(path), path
    for table, images in _feature_tables(results):

        def look(table: Path = table, images: Path = images) -> None:
            made = read_extraction(table)
            known, place = weights.setdefault(made.extractor, (made.weights_sha256, table))
            if made.weights_sha256 != known:
                raise ConfigError(
                    f"{table} was made by other weights of {made.extractor} than {place}: delete "
                    "one of them, and rerun the workflow."
                )
            there = set(read_parquet(table, columns=["field_id"])["field_id"].to_pylist())
            expected = set(read_fields(images).field_ids)
            if there != expected:
                odd = min(there ^ expected)
                raise ConfigError(
                    f"{table} has features of {len(there & expected)} of the {len(expected)} "
                    f"images of {images} and of {len(there - expected)} others (for instance "
                    f"{odd!r}): delete it, and rerun the workflow."
                )

        found.check("feature tables", look)


def _feature_tables(results: Path) -> Iterator[tuple[Path, Path]]:
    """Feature tables with the archive, or the table of fields, that each is of."""
    for table in _files(results, "*.parquet"):
        parts = table.relative_to(results).parts
        if "features" not in parts:
            continue
        base, shard = results.joinpath(*parts[: parts.index("features")]), table.parent.name
        seeds = parts[parts.index("features") + 2]
        for images in (
            base / "samples" / seeds / f"{shard}.zip",
            base / "images" / f"{shard}.zip",
            base / "shards" / f"{shard}.parquet",
        ):
            if images.is_file():
                yield table, images
                break
