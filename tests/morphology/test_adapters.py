"""What stands between CellProfiler and newer libraries, each against what it replaces."""


def test_old_names_mean_what_the_new_ones_do(run_cellprofiler):
    script = """
        import json
        import numpy as np
        from morphpipe.morphology import adapters
        adapters.install()
        import skimage.feature, skimage.filters, skimage.morphology as m, skimage.restoration
        image = np.random.default_rng(0).random((40, 40))
        disk = m.disk(3)
        same = {
            name: bool(np.array_equal(getattr(m, name)(image, selem=disk),
                                      getattr(m, name)(image, footprint=disk)))
            for name in ("dilation", "erosion", "opening", "closing", "white_tophat",
                         "black_tophat")
        }
        colour = np.dstack([image] * 3)
        smooth = skimage.filters.gaussian
        same["grey"] = bool(np.array_equal(smooth(image, 2, multichannel=False),
                                           smooth(image, 2, channel_axis=None)))
        same["colour"] = bool(np.array_equal(smooth(colour, 2, multichannel=True),
                                             smooth(colour, 2, channel_axis=-1)))
        denoise = skimage.restoration.denoise_nl_means
        same["denoised"] = bool(np.array_equal(denoise(colour, multichannel=True),
                                               denoise(colour, channel_axis=-1)))
        peaks = skimage.feature.peak_local_max(image, min_distance=4)
        mask = skimage.feature.peak_local_max(image, min_distance=4, indices=False)
        same["peaks"] = sorted(map(tuple, peaks)) == sorted(zip(*np.nonzero(mask)))
        print(json.dumps(same))
    """
    same = run_cellprofiler(script)
    assert len(same) == 10
    assert all(same.values()), same


def test_reconstruction_is_computed_in_float64(run_cellprofiler):
    script = """
        import json
        import numpy as np
        import skimage.morphology
        original = skimage.morphology.reconstruction
        from morphpipe.morphology import adapters
        adapters.install()
        mask = np.random.default_rng(0).random((50, 50)).astype(np.float32)
        seed = mask - np.float32(0.1)
        adapted = skimage.morphology.reconstruction(seed, mask)
        exact = original(seed.astype(np.float64), mask.astype(np.float64))
        print(json.dumps([str(adapted.dtype), bool(np.array_equal(adapted, exact))]))
    """
    assert run_cellprofiler(script) == ["float64", True]


def test_stand_ins_can_be_imported_and_say_what_is_missing_when_called(run_cellprofiler):
    script = """
        import importlib.util, json, sys
        there = {name: importlib.util.find_spec(name) is not None
                 for name in ("javabridge", "bioformats", "prokaryote", "MySQLdb")}
        from morphpipe.morphology import adapters
        adapters.install()
        adapters.install()
        import bioformats.formatreader, javabridge
        from javabridge.jutil import JavaException
        from cellprofiler_core.preferences import get_headless
        assert issubclass(JavaException, Exception)
        said = {}
        for name, function in (("javabridge", javabridge.run_script),
                               ("bioformats", bioformats.formatreader.get_image_reader)):
            try:
                function("x")
            except RuntimeError as error:
                said[name] = str(error)
        print(json.dumps([there, said, bool(get_headless())]))
    """
    there, said, headless = run_cellprofiler(script)
    assert headless
    for name, installed in there.items():
        if not installed and name in ("javabridge", "bioformats"):
            assert "neither loads images" in said[name]


def test_every_module_of_cellprofiler_loads(run_cellprofiler):
    script = """
        import json
        from morphpipe.morphology import adapters
        adapters.install()
        import cellprofiler_core.modules
        from cellprofiler_core.constants.modules import all_modules, badmodules
        print(json.dumps([len(all_modules), [name for name, _ in badmodules]]))
    """
    number, bad = run_cellprofiler(script)
    assert number > 80
    assert bad == []


def test_thresholds_of_a_pair_of_images_are_found_once_and_are_cellprofilers(run_cellprofiler):
    script = """
        import json
        import numpy as np
        from morphpipe.morphology import adapters
        adapters.install()
        import cellprofiler_core.modules
        from cellprofiler_core.constants.modules import all_modules
        from scipy.ndimage import gaussian_filter
        module = all_modules["MeasureColocalization"]()
        random = np.random.default_rng(0)
        first, second, third = (gaussian_filter(random.random((60, 60)), 2).ravel()
                                for _ in range(3))
        second += first
        calls = []
        methods = {"Faster": "bisection_costes", "Accurate": "linear_costes"}
        for mode, name in methods.items():
            original = getattr(type(module), name).__wrapped__
            def spied(*arguments, original=original):
                calls.append(None)
                return original(*arguments)
            setattr(type(module), name, adapters.of_last_pair(spied))
            module.fast_costes.value = mode
            for pair in ((first, second), (first.copy(), second), (first, third), (third, first)):
                kept = getattr(module, name)(*pair, 255)
                assert kept == original(module, *pair, 255), (mode, kept)
            getattr(module, name)(third, first, 4095)
        # What was handed over may be written on afterwards.
        third += 1
        getattr(module, name)(third, first, 4095)
        print(json.dumps(len(calls)))
    """
    assert run_cellprofiler(script) == 4 + 4 + 1
