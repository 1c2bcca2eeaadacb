"""RxRx1 as a source of datasets, downloaded in whole or in part."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.rxrx1 import build_fields, read_metadata
from morphpipe.datasets.sources.rxrx1_subsets import genes_of_sirnas, morphodiff_huvec
from morphpipe.datasets.sources.source import NO_LICENCE, PARTS, Download, InPlaceSource, Work
from morphpipe.tables.fields import FieldTable

# Recursion's page of RxRx1: the archive is 47 GB, of 125,510 sites of 512x512 on 204 plates.
_BYTES = 47_000_000_000
_FIELDS, _SIZE, _PLATES = 125_510, 512, 204


class RxRx1Source(InPlaceSource[RxRx1Dataset]):
    """RxRx1: two archives for all plates."""

    def shards(self, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards with fields of these cell types (None for any)."""
        return self.settings.shards_with(None if cell_types is None else list(cell_types))

    def fields(self) -> tuple[int, int]:
        """Number of fields, and their height in pixels."""
        return _FIELDS * self.number_of_shards // _PLATES, _SIZE

    def work(self) -> Iterator[Work]:
        """The download, for the estimate of a run."""
        yield Work("download", 2, 0.0, _BYTES)

    def downloads(self, what: str, folder: str) -> Iterator[Download]:
        """The archive of planes, the metadata, and the table of genes if configured."""
        settings, whole = self.settings, self.settings.fetch == "whole"
        yield Download(
            what,
            settings.images,
            f"{folder}/rxrx1-images.zip",
            settings.licence,
            _BYTES if whole else None,
            settings.images_sha256,
            "" if whole else PARTS,
        )
        yield Download(
            what,
            settings.metadata,
            f"{folder}/rxrx1-metadata.zip",
            settings.licence,
            sha256=settings.metadata_sha256,
        )
        if settings.genes is not None:
            place = f"{folder}/genes.csv"
            yield Download(f"{what}.genes", settings.genes, place, None, note=NO_LICENCE)

    def download(self, images: str | Path, metadata: str | Path, lock: str | Path | None) -> None:
        """Download the archive of planes and the metadata to their configured paths.

        With `fetch: selected`, only planes of the selected experiments are downloaded, by range
        requests (e.g. for MorphoDiff's HUVEC-01 about one of 47 gigabytes).

        Parameters
        ----------
        images, metadata
            The two files; existing ones are kept, see `morphpipe.datasets.fetch.obtain`.
        lock
            See `morphpipe.datasets.fetch.download.fetch`. Planes of a selection are verified by the
            archive's directory, and the result by the checksum of the first download.

        Raises
        ------
        DataError
            If a download fails, or an experiment or cell type is not in the metadata.
        """
        # Slow to import, and not needed for a dry run.
        from morphpipe.datasets.fetch.obtain import obtain, obtain_made
        from morphpipe.datasets.fetch.remote_zip import fetch_members

        settings = self.settings
        obtain(settings.metadata, metadata, sha256=settings.metadata_sha256, lock=lock)
        if settings.fetch == "whole":
            obtain(settings.images, images, sha256=settings.images_sha256, lock=lock)
            return
        experiments = self.selected_experiments(metadata)
        obtain_made(
            f"{settings.images}#{','.join(sorted(experiments))}",
            images,
            lambda: fetch_members(
                settings.images, images, wanted=lambda name: _experiment_of(name) in experiments
            ),
            lock=lock,
        )

    def selected_experiments(self, metadata: str | Path) -> set[str]:
        """Select the experiments with the configured cell types and batches.

        Raises
        ------
        DataError
            If a name is not in the metadata.
        """
        table = read_metadata(metadata)[["cell_type", "experiment"]].drop_duplicates()
        chosen = pd.Series(True, index=table.index)
        wanted = {"cell_type": self.settings.cell_types, "experiment": self.settings.batches}
        for column, names in wanted.items():
            known = sorted(set(table[column]))
            for name in names or []:
                if name not in known:
                    raise DataError(f"RxRx1 has no {column} {name!r}; it has {', '.join(known)}.")
            if names is not None:
                chosen &= table[column].isin(list(names))
        if not chosen.any():
            raise DataError(
                "No experiment of RxRx1 has both a selected cell type and a selected batch."
            )
        return set(table.loc[chosen, "experiment"])

    def catalogue(
        self,
        name: str,
        files: Mapping[str, Sequence[Path]],
        folder: Path,
    ) -> tuple[FieldTable, pd.DataFrame]:
        """Return the configured fields, and those with planes missing from the archive.

        Parameters
        ----------
        name
            Name of the dataset.
        files
            `images`, `metadata` and, for the column `gene`, Thermo Fisher's table `genes`.
        folder
            Where the table will be written.
        """
        settings = self.settings
        return build_fields(
            files["images"][0],
            files["metadata"][0],
            folder,
            dataset=name,
            cell_types=settings.cell_types,
            batches=settings.batches,
            perturbations=settings.perturbations,
            sirnas=morphodiff_huvec() if settings.subset == "morphodiff" else None,
            genes=next(map(genes_of_sirnas, files.get("genes", [])), None),
            quarantine=settings.quality.unreadable == "quarantine",
        )


def _experiment_of(member: str) -> str:
    """The experiment in `rxrx1/images/<experiment>/Plate<p>/<well>_s<site>_w<channel>.png`."""
    parts = member.split("/")
    return parts[2] if len(parts) == 5 and parts[1] == "images" else ""
