"""Measurements in a dictionary against CellProfiler's own in HDF5."""

import pytest

from morphpipe.datasets.simulated import CHANNELS

from .conftest import PIPELINES

# Runs a pipeline on the fields of an archive with both, and compares every value.
_COMPARE = """
    import json, sys, warnings
    from pathlib import Path
    import numpy as np
    warnings.filterwarnings("ignore")
    from morphpipe.tables.field_reader import FieldReader
    from morphpipe.tables.archive import read_fields
    from morphpipe.morphology import batch
    from morphpipe.morphology.measurements import DictMeasurements
    from morphpipe.morphology.pipeline import load_pipeline
    from cellprofiler_core.measurement import Measurements

    kept = []
    def make(kind):
        def construct():
            kept.append(kind())
            return kept[-1]
        return construct

    # What was measured is looked at afterwards.
    batch._Run.close = lambda run: None
    loaded = load_pipeline(Path(sys.argv[2]))
    fields = read_fields(sys.argv[1])
    names = fields.manifest.names
    results = []
    for kind in (DictMeasurements, lambda: Measurements(mode="memory")):
        batch.DictMeasurements = make(kind)
        with FieldReader(fields) as reader:
            images = batch.FieldImages(
                fields, reader, {n: names.index(n) for n in loaded.images}, rgb=False
            )
            rows = dict(enumerate(fields.field_ids))
            results.append(batch.measure_batch(loaded, images, rows).fields)
    assert type(kept[0]) is DictMeasurements and type(kept[1]) is Measurements
    compared = differ = empty = 0
    for ours, theirs in zip(*results):
        assert ours.reason is None and theirs.reason is None, (ours.reason, theirs.reason)
        assert set(ours.image) == set(theirs.image)
        for name, value in ours.image.items():
            compared += 1
            differ += not np.array_equal(value, theirs.image[name], equal_nan=True)
        assert set(ours.objects) == set(theirs.objects)
        for compartment, features in ours.objects.items():
            assert set(features) == set(theirs.objects[compartment])
            for name, values in features.items():
                other = theirs.objects[compartment][name]
                compared += len(values)
                empty += not len(values)
                same = len(values) == len(other) and np.array_equal(
                    values.astype(np.float32), other.astype(np.float32), equal_nan=True
                )
                differ += not same
    a, b = kept
    relations = [
        [[g.relationship, g.object_name1, g.object_name2,
          m.get_relationships(g.module_number, g.relationship, g.object_name1, g.object_name2,
                              image_numbers=[1]).tolist()]
         for g in sorted(m.get_relationship_groups(), key=lambda g: repr(vars(g)))]
        for m in kept
    ]
    declared = {name: set(f) for name, f in loaded.features.items()}
    measured = {"Image": set(results[0][0].image)} | {
        name: set(f) for name, f in results[0][0].objects.items()
    }
    undeclared = {n: sorted(f - declared.get(n, set())) for n, f in measured.items()}
    print(json.dumps({
        "compared": compared, "differ": differ, "empty": empty,
        "relations": [len(relations[0]), relations[0] == relations[1]],
        "columns": sorted(c[1] for c in a.get_measurement_columns())
                   == sorted(c[1] for c in b.get_measurement_columns()),
        "undeclared": undeclared,
    }))
"""


@pytest.mark.parametrize("name", ["cellpainting_6ch", "simulated_6ch"])
def test_all_values_of_a_real_pipeline_are_those_of_hdf5(
    name, make_screen, run_cellprofiler, tmp_path
):
    make_screen(tmp_path / "screen.zip", (2, 0), names=CHANNELS, side=96)
    found = run_cellprofiler(_COMPARE, tmp_path / "screen.zip", PIPELINES / f"{name}.cppipe")
    assert found["compared"] > 1000
    assert found["differ"] == 0
    assert found["relations"][0] > 0
    assert found["relations"][1]
    assert found["columns"]
    # What the pipeline declares before it runs is what the tables have columns for.
    assert not any(found["undeclared"].values()), found["undeclared"]


def test_stored_values_do_not_change_with_the_arrays_they_came_from(run_cellprofiler):
    script = """
        import json
        import numpy as np
        from morphpipe.morphology.measurements import DictMeasurements
        m = DictMeasurements()
        values = np.arange(3.0)
        m.add_measurement("Nuclei", "Area", values)
        values[:] = -1
        got = m.get_current_measurement("Nuclei", "Area")
        got[:] = -2
        m.add_image_measurement("Name", "a text")
        m.add_image_measurement("Count_Nuclei", 3)
        m.next_image_set(2)
        m.add_image_measurement("Count_Nuclei", 0)
        m.add_measurement("Nuclei", "Area", np.zeros(0))
        print(json.dumps([
            m.get_measurement("Nuclei", "Area", 1).tolist(),
            m.get_measurement("Nuclei", "Area", 2).tolist(),
            m.get_measurement("Image", "Name", 1),
            m.get_measurement("Image", "Count_Nuclei", [1, 2]).tolist(),
            m.get_image_numbers().tolist(),
            m.get_measurement("Image", "Name", 2),
            m.has_measurements("Nuclei", "Area", 3),
        ]))
    """
    assert run_cellprofiler(script) == [
        [0.0, 1.0, 2.0], [], "a text", [3.0, 0.0], [1, 2], None, False,
    ]  # fmt: skip


def test_memory_of_a_batch_is_given_back_at_its_end(make_screen, run_cellprofiler, tmp_path):
    script = """
        import gc, json, sys
        from pathlib import Path
        gc.disable()
        from morphpipe.tables.field_reader import FieldReader
        from morphpipe.tables.archive import read_fields
        from morphpipe.morphology import batch
        from morphpipe.morphology.measurements import Store
        from morphpipe.morphology.pipeline import load_pipeline
        loaded = load_pipeline(Path(sys.argv[2]))
        fields = read_fields(sys.argv[1])
        names = fields.manifest.names
        with FieldReader(fields) as reader:
            images = batch.FieldImages(
                fields, reader, {n: names.index(n) for n in loaded.images}, rgb=False
            )
            rows = dict(enumerate(fields.field_ids))
            found = batch.measure_batch(loaded, images, rows).fields
        stores = [o for o in gc.get_objects() if isinstance(o, Store)]
        held = sum(len(features) for store in stores for features in store._values.values())
        print(json.dumps([len(found[0].objects["Nuclei"]) > 50, held]))
    """
    make_screen(tmp_path / "screen.zip", (2,), names=CHANNELS, side=96)
    pipeline = PIPELINES / "simulated_6ch.cppipe"
    assert run_cellprofiler(script, tmp_path / "screen.zip", pipeline) == [True, 0]
