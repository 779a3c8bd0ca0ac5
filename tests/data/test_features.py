"""Tables of numbers and texts as one array."""

import numpy as np
import pytest

import plait
from plait import errors
from plait.data import (
    ArrayDataset,
    Category,
    FeatureSpace,
    Hashed,
    Numeric,
    Ranges,
    hash_tokens,
)

TABLE = {
    "age": [20, 30, 40, 70],
    "pay": [1.0, 2.0, 3.0, 4.0],
    "job": ["cook", "smith", "cook", "nurse"],
    "town": [7, 7, 3, 9],
    "unused": [0, 0, 0, 0],
}


def test_each_kind_of_feature():
    space = FeatureSpace(
        {
            "age": Ranges(2),
            "pay": Numeric(normalize=True),
            "job": Category(3),
            "town": Hashed(5),
        },
        output_mode="dict",
    ).adapt(TABLE)
    found = space(TABLE)
    assert space.widths == {"age": 2, "pay": 1, "job": 3, "town": 5}
    assert found["age"].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    pay = (np.array(TABLE["pay"]) - 2.5) / np.std(TABLE["pay"])
    np.testing.assert_allclose(found["pay"][:, 0], pay, rtol=1e-6)
    # One for unknown ones, then the most frequent one, then the first of the others.
    assert found["job"].argmax(1).tolist() == [1, 0, 1, 2]
    assert found["town"].argmax(1).tolist() == hash_tokens([7, 7, 3, 9], 5).tolist()
    assert all(part.dtype == np.float32 for part in found.values())


def test_one_array_for_tables_rows_and_data_sets():
    kinds = {
        "age": "float", "pay": "float_normalized", "job": "string_categorical",
        "town": "integer_hashed",
    }  # fmt: skip
    space = FeatureSpace(kinds).adapt(TABLE)
    whole = space(TABLE)
    assert whole.shape == (4, 1 + 1 + 4 + 32) == (4, sum(space.widths.values()))
    rows = [{name: column[i] for name, column in TABLE.items()} for i in range(4)]
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(space(row), whole[i])
    tensors = {**TABLE, "age": plait.tensor(TABLE["age"])}
    np.testing.assert_array_equal(space(tensors), whole)
    dataset = ArrayDataset({name: np.array(column) for name, column in TABLE.items()})
    np.testing.assert_array_equal(dataset.map(space)[1], whole[1])
    np.testing.assert_array_equal(
        dataset.map(space, batched=True)[[2, 0]], whole[[2, 0]]
    )


def test_scaled_numbers_and_given_categories():
    space = FeatureSpace(
        {
            "age": Numeric(0.1, -2.0),
            "pay": Ranges(bin_boundaries=[1.5, 3.0]),
            "job": Category(vocabulary=["nurse", "cook"]),
        }
    ).adapt(TABLE)
    expected = [
        [0, 1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 0, 0], [2, 0, 0, 1, 0, 0, 1],
        [5, 0, 0, 1, 0, 1, 0],
    ]  # fmt: skip
    np.testing.assert_allclose(space(TABLE), expected, atol=1e-6)


def test_crosses_are_categories_of_combinations():
    space = FeatureSpace(
        {"job": Category(), "town": Category()}, crosses=[("job", "town")],
        crossing_dim=1000, output_mode="dict",
    ).adapt(TABLE)  # fmt: skip
    found = space(TABLE)["job_X_town"]
    assert found.shape == (4, 1000)
    assert (found.sum(1) == 1).all()
    assert len(np.unique(found.argmax(1))) == 4
    again = space({"job": ["smith", "cook"], "town": [7, 3]})["job_X_town"]
    np.testing.assert_array_equal(again, found[[1, 2]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: FeatureSpace({}),
            errors.ArgumentError,
            "[FeatureSpace] there are features, and the mode is 'concat' or 'dict'. "
            "Got: 0 features, output_mode='concat'.",
        ),
        (
            lambda: FeatureSpace({"a": "number"}),
            errors.ArgumentError,
            "[FeatureSpace] 'a' is of no known kind. Got: 'number'. Expected: 'float', "
            "'float_normalized', 'float_discretized', 'integer_categorical', "
            "'string_categorical', 'integer_hashed', 'string_hashed'.",
        ),
        (
            lambda: FeatureSpace({"a": 3}),
            errors.ArgumentTypeError,
            "[FeatureSpace] 'a' is no feature. Got: a int.",
        ),
        (
            lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]),
            errors.ArgumentError,
            "[FeatureSpace] a cross names two features or more. Got: ('a', 'b'). "
            "Expected: of a.",
        ),
        (
            lambda: FeatureSpace(
                {"a": "float", "b": "string_hashed"}, crosses=[("a", "b")]
            ),
            errors.ArgumentError,
            "[FeatureSpace] a number cannot be crossed. Got: Numeric. "
            "Fix: make it a Ranges.",
        ),
        (
            lambda: FeatureSpace({"a": "float"})({"b": [1]}),
            errors.IndexingError,
            "[FeatureSpace] the table lacks a column. Got: 'b'. Expected: 'a'.",
        ),
        (
            lambda: FeatureSpace({"a": "float", "b": "float"})({"a": [1], "b": [1, 2]}),
            errors.ShapeError,
            "[FeatureSpace] columns have one axis, and the same length. "
            "Got: a (1,), b (2,).",
        ),
    ],
)
def test_wrong_use(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message
