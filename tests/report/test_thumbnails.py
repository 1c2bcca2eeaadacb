import base64
import io

import numpy as np
from PIL import Image

from morphpipe.report.figures.thumbnails import LONGEST_SIDE, PictureFolder, embedded, jpeg, shrunk


def decoded(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_colours_are_as_sharp_as_brightness():
    # Red and green in turn, equally bright: with halved colour they would become one brown.
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 1] = 150, 76
    found = decoded(jpeg(pixels)).astype(int)
    assert (found[:, ::2, 0] - found[:, 1::2, 0]).min() > 100


def test_grey_stays_grey_and_large_ones_shrink():
    pixels = np.full((2 * LONGEST_SIDE, LONGEST_SIDE), 77, dtype=np.uint8)
    small = shrunk(pixels)
    assert small.shape == (LONGEST_SIDE, LONGEST_SIDE // 2)
    assert shrunk(small) is small
    np.testing.assert_allclose(decoded(jpeg(small)), 77, atol=1)


def test_each_content_is_one_file(tmp_path):
    pictures = PictureFolder(tmp_path)
    one, two = (np.full((8, 8), value, dtype=np.uint8) for value in (10, 200))
    addresses = [pictures(one), pictures(two), pictures(one), pictures(jpeg(one))]
    assert addresses[0] == addresses[2] == addresses[3] != addresses[1]
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    assert files == sorted(set(addresses))
    head, data = embedded(one).split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == (tmp_path / addresses[0]).read_bytes()
