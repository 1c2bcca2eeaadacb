import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from morphpipe.core.errors import DataError
from morphpipe.imaging.rgb import RXRX1_CHANNELS, rxrx1_to_rgb, to_rgb

# Typed from Recursion's published table once more, so that a slip in one of them shows.
TABLE = [
    ((19, 0, 249), 51),
    ((42, 255, 31), 107),
    ((255, 0, 25), 64),
    ((45, 255, 252), 191),
    ((250, 0, 253), 89),
    ((254, 255, 40), 191),
]


def pixel_by_pixel(stack):
    rgb = np.zeros((*stack.shape[1:], 3), dtype=int)
    for row in range(stack.shape[1]):
        for column in range(stack.shape[2]):
            for component in range(3):
                total = 0
                for channel, (colour, upper) in enumerate(TABLE):
                    x = min(float(stack[channel, row, column]) / upper, 1.0)
                    total += int(x * colour[component])
                rgb[row, column, component] = min(total, 255)
    return rgb


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, st.tuples(st.just(6), st.integers(1, 6), st.integers(1, 6))))
def test_equals_the_published_table_pixel_by_pixel(stack):
    np.testing.assert_array_equal(rxrx1_to_rgb(stack), pixel_by_pixel(stack))


@pytest.mark.parametrize("channel", range(6))
def test_every_grey_value_of_every_channel(channel):
    stack = np.zeros((6, 16, 16), dtype=np.uint8)
    stack[channel] = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(rxrx1_to_rgb(stack), pixel_by_pixel(stack))


def test_a_batch_is_its_images_and_memory_order_does_not_matter():
    batch = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 7), dtype=np.uint8)
    result = rxrx1_to_rgb(batch)
    assert result.dtype == np.uint8
    assert result.shape == (3, 5, 7, 3)
    for image, stack in zip(result, batch, strict=True):
        np.testing.assert_array_equal(image, rxrx1_to_rgb(np.asfortranarray(stack)))


@pytest.mark.parametrize(
    "stack",
    [
        np.zeros((5, 4, 4), np.uint8),
        np.zeros((4, 4, 6), np.uint8),
        np.zeros((6, 4), np.uint8),
        np.zeros((6, 4, 4), np.uint16),
        np.zeros((6, 4, 4)),
    ],
)
def test_other_shapes_and_types_are_refused(stack):
    with pytest.raises(DataError, match="RGB view"):
        rxrx1_to_rgb(stack)


class TestToRgb:
    """The rule of the data at hand."""

    STACK = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)

    def test_three_named_channels_are_the_planes(self):
        rgb = to_rgb(self.STACK, ("DNA", "tubulin", "actin"), ("actin", "tubulin", "DNA"))
        np.testing.assert_array_equal(rgb, np.stack(self.STACK[::-1], axis=-1))
        batch = to_rgb(self.STACK[None], ("DNA", "tubulin", "actin"), ("actin", "tubulin", "DNA"))
        np.testing.assert_array_equal(batch[0], rgb)

    def test_images_that_are_rgb_stay_as_they_are(self):
        rgb = to_rgb(self.STACK, ("red", "green", "blue"), ("actin", "tubulin", "DNA"))
        np.testing.assert_array_equal(rgb, np.moveaxis(self.STACK, 0, -1))

    def test_rxrx1_follows_its_table(self):
        stack = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
        np.testing.assert_array_equal(to_rgb(stack, RXRX1_CHANNELS), rxrx1_to_rgb(stack))

    def test_without_a_rule_it_stops(self):
        with pytest.raises(DataError, match="no rule how the channels a, b, c"):
            to_rgb(self.STACK, ("a", "b", "c"))
        with pytest.raises(DataError, match="shows the channel actin, which the fields lack"):
            to_rgb(self.STACK, ("a", "b", "c"), ("a", "b", "actin"))
        with pytest.raises(DataError, match="8-bit fields with 2 channels"):
            to_rgb(self.STACK, ("a", "b"), ("a", "b", "a"))
