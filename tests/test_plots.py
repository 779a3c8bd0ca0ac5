"""Pictures of a training. What they show is read back from matplotlib's objects."""

import numpy as np
import pytest

import plait
from plait import plots
from plait.errors import ArgumentError, ShapeError

pytest.importorskip("matplotlib")

RECORDS = [
    {"epoch": i, "loss": 1 / i, "accuracy": 0.5 + i / 10, "test_loss": 1.2 / i,
     "seconds": 3.0, "samples_per_second": 1e3, "note": "text"}
    for i in (1, 2, 3)
]  # fmt: skip


def test_learning_curves_put_what_belongs_together_into_one_graph():
    figure = plots.learning_curves(RECORDS)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["loss", "accuracy"]
    training, test = figure.axes[0].get_lines()
    assert [training.get_label(), test.get_label()] == ["training", "test"]
    assert training.get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_allclose(test.get_ydata(), [1.2, 0.6, 0.4])


def test_a_file_is_written_in_the_kind_that_its_name_says(tmp_path):
    plots.learning_curves(RECORDS, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    plots.learning_curves(RECORDS, tmp_path / "curves.svg")
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()
    with pytest.raises(ArgumentError, match="does not say what kind it is to be"):
        plots.learning_curves(RECORDS, tmp_path / "curves.what")
    with pytest.raises(OSError, match="No such file"):
        plots.learning_curves(RECORDS, tmp_path / "none" / "curves.png")


def test_a_confusion_matrix_shows_counts_over_shares():
    counts = np.array([[8, 2], [0, 1]])
    figure = plots.confusion_matrix(counts, ["cat", "dog"])
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"8", "2", "1"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_filters_of_three_channels_are_in_colour_and_others_grey():
    rng = np.random.default_rng(0)
    colour = plots.filters(plait.tensor(rng.normal(size=(16, 3, 5, 5))))
    shown = [axes.images[0].get_array() for axes in colour.axes if axes.images]
    assert [one.shape for one in shown] == [(5, 5, 3)] * 16
    assert {float(one.min()) for one in shown} == {0.0}
    grey = plots.filters(rng.normal(size=(6, 2, 3, 3)))
    assert sum(bool(axes.images) for axes in grey.axes) == 12
    linear = plots.filters(rng.normal(size=(4, 784)))
    assert linear.axes[0].images[0].get_array().shape == (28, 28)


def test_images_are_laid_out_in_rows_with_titles():
    pictures = [np.full((4, 6, 3), i, np.uint8) for i in range(7)]
    figure = plots.images(pictures, [str(i) for i in range(7)], columns=3)
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes] == [*"0123456", "", ""]
    assert not figure.axes[8].images


def test_values_beyond_the_scale_are_cut_off():
    figure = plots.images([np.array([[-1.0, 0.5], [np.nan, 2.0]])])
    np.testing.assert_array_equal(
        figure.axes[0].images[0].get_array(), [[0, 0.5], [0, 1]]
    )


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plots.learning_curves([]), ArgumentError, "no records"),
        (lambda: plots.confusion_matrix(np.ones((2, 3))), ShapeError, "square"),
        (
            lambda: plots.confusion_matrix(np.ones((2, 2)), ["one"]),
            ShapeError,
            "as many names as classes",
        ),
        (lambda: plots.filters(np.ones((3, 5))), ShapeError, "not one of pictures"),
        (lambda: plots.images([]), ArgumentError, "no pictures"),
        (lambda: plots.images([np.ones(3)]), ShapeError, "this is no picture"),
        (lambda: plots.images([np.ones((2, 2))], []), ArgumentError, "many titles"),
    ],
)
def test_what_cannot_be_drawn(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
