"""Texts as rows of numbers, vocabularies from files, and hashes of texts."""

import hashlib

import numpy as np
import pytest

from plait import errors
from plait.data import (
    ListDataset,
    TextVectorization,
    Vocabulary,
    hash_tokens,
    tokenize,
)

TEXTS = ["The cat sat.", "A cat, a dog!", "the DOG ran; the dog sat"]


def test_numbers_of_tokens_in_rows_of_equal_length():
    vectorize = TextVectorization().adapt(TEXTS)
    # Equally frequent ones come in the order of their letters.
    order = ["<pad>", "<unk>", "dog", "the", "a", "cat", "sat", "ran"]
    assert vectorize.vocabulary.tokens == order
    found = vectorize(["the cat", "a bird ran away!"])
    assert found.dtype == np.int64
    assert found.tolist() == [[3, 5, 0, 0], [4, 1, 7, 1]]
    assert vectorize("dog").tolist() == [2]
    assert vectorize([]).shape == (0, 0)
    assert vectorize(["", ""]).shape == (2, 0)
    fixed = TextVectorization(output_sequence_length=3).adapt(TEXTS)
    assert fixed(TEXTS[1:]).tolist() == [[4, 5, 4], [3, 2, 7]]
    assert fixed("cat").tolist() == [5, 0, 0]


def test_a_vocabulary_of_limited_size():
    vectorize = TextVectorization(4).adapt(TEXTS)
    assert vectorize.vocabulary.tokens == ["<pad>", "<unk>", "dog", "the"]
    counted = TextVectorization(3, output_mode="count").adapt(TEXTS)
    assert counted.vocabulary.tokens == ["<unk>", "dog", "the"]


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, ["its", "a", "bc"]),
        ({"standardize": "lower"}, ["it's", "a", "b-c!"]),
        ({"standardize": "strip_punctuation"}, ["Its", "A", "BC"]),
        ({"standardize": None}, ["It's", "A", "B-C!"]),
        ({"standardize": lambda text: text[:4]}, ["It's"]),
        ({"split": "character"}, list("its a bc")),
        ({"split": None}, ["its a bc"]),
        ({"standardize": "lower", "split": tokenize}, tokenize("It's A B-C!")),
        ({"ngrams": 2}, ["its", "a", "bc", "its a", "a bc"]),
        ({"ngrams": (2, 3)}, ["its a", "a bc", "its a bc"]),
    ],
)
def test_ways_to_make_tokens(settings, tokens):
    assert TextVectorization(**settings).tokens("It's A B-C!") == tokens


def test_rows_for_bags_of_words():
    words = ["the", "cat", "sat"]
    texts = ["the cat the dog", "sat", ""]
    counts = [[1, 2, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    found = TextVectorization(vocabulary=words, output_mode="count")(texts)
    assert found.dtype == np.float32
    assert found.tolist() == counts
    found = TextVectorization(vocabulary=words, output_mode="multi_hot")(texts)
    assert found.tolist() == np.minimum(counts, 1).tolist()
    weighed = TextVectorization(
        vocabulary=words, output_mode="tf_idf", idf_weights=[1, 2, 6]
    )
    np.testing.assert_allclose(weighed(texts), counts * np.array([3, 1, 2, 6]))
    np.testing.assert_allclose(weighed("the the"), [0, 2, 0, 0])


def test_weights_are_found_out():
    vectorize = TextVectorization(output_mode="tf_idf").adapt(TEXTS)
    documents = {"dog": 2, "the": 2, "a": 1, "cat": 2, "sat": 2, "ran": 1}
    weights = [np.log(1 + 3 / (1 + m)) for m in documents.values()]
    expected = [np.mean(weights), *weights]
    np.testing.assert_allclose(vectorize.idf, expected, rtol=1e-6)
    np.testing.assert_allclose(vectorize("dog dog")[1], 2 * weights[0], rtol=1e-6)


def test_texts_in_batches_and_data_sets():
    whole = TextVectorization().adapt(TEXTS)
    for other in (ListDataset(TEXTS), [TEXTS[:2], TEXTS[2:]], np.array(TEXTS)):
        assert TextVectorization().adapt(other).vocabulary == whole.vocabulary
    expected = whole(TEXTS).tolist()
    assert whole(np.array(TEXTS)).tolist() == expected
    assert whole([text.encode() for text in TEXTS]).tolist() == expected
    dataset = ListDataset(TEXTS).map(whole)
    assert dataset[0].tolist() == whole(TEXTS[0]).tolist()


def test_vocabularies_from_files(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("<unk>\nthe\r\n\n\u00fcber\n".encode())
    vocabulary = Vocabulary.read(path)
    assert vocabulary.tokens == ["<pad>", "<unk>", "the", "\u00fcber"]
    assert TextVectorization(vocabulary=path)("the \u00dcber").tolist() == [2, 3]
    assert TextVectorization(vocabulary=vocabulary)("the").tolist() == [2]
    path.write_text("a\na\n")
    with pytest.raises(errors.FileFormatError) as caught:
        Vocabulary.read(path)
    assert "is no list of tokens" in str(caught.value)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(errors.FileFormatError, match="is no list of tokens"):
        Vocabulary.read(path)


def test_numbers_in_the_shape_of_the_tokens():
    vocabulary = Vocabulary(["a", "b"], padding=None)
    tokens = np.array([[["b"], ["a"]], [["z"], ["b"]]])
    assert vocabulary.numbers(tokens).tolist() == [[[2], [1]], [[0], [2]]]
    assert vocabulary.numbers("b").tolist() == 2
    strict = Vocabulary(["a"], padding=None, unknown=None)
    with pytest.raises(errors.ArgumentError, match="not in the vocabulary"):
        strict.numbers(["a", "b"])


def test_a_vocabulary_of_counts():
    counts = {"x": 3, "y": 5, "<pad>": 9, "z": 1}
    vocabulary = Vocabulary.of_counts(counts, min_count=2)
    assert vocabulary.tokens == ["<pad>", "<unk>", "y", "x"]
    assert vocabulary == Vocabulary.of([["y"] * 5, ["x"] * 3])


def test_hashes_of_texts():
    tokens = [f"token {i}" for i in range(5000)]
    found = hash_tokens(tokens, 10)
    assert np.bincount(found, minlength=10).min() > 400
    digest = hashlib.blake2b(b"cat", digest_size=8).digest()
    expected = int.from_bytes(digest, "little") % 1000
    assert hash_tokens([["cat"], ["cat"]], 1000).tolist() == [[expected]] * 2
    assert (hash_tokens(tokens, 10, salt=1) == found).mean() < 0.2
    masked = hash_tokens(["", *tokens], 3, mask_value="")
    assert masked[0] == 0
    assert set(masked[1:]) == {1, 2}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TextVectorization(standardize="upper"),
            "[TextVectorization] there is no such standardize. Got: 'upper'. Expected: "
            "'lower_and_strip_punctuation', 'lower', 'strip_punctuation', None, or a "
            "function.",
        ),
        (
            lambda: TextVectorization(ngrams=0),
            "[TextVectorization] n-grams have one token or more. Got: 0.",
        ),
        (
            lambda: TextVectorization(output_mode="hot"),
            "[TextVectorization] there is no such output_mode. Got: 'hot'. "
            "Expected: 'int', 'multi_hot', 'count', 'tf_idf'.",
        ),
        (
            lambda: TextVectorization(output_mode="count", output_sequence_length=3),
            "[TextVectorization] a length of 1 or more is for the mode 'int'. "
            "Got: output_sequence_length=3, output_mode='count'.",
        ),
        (
            lambda: TextVectorization(output_mode="tf_idf", vocabulary=["a"]),
            "[TextVectorization] for tf_idf, tokens and their weights go together. "
            "Got: a vocabulary.",
        ),
        (
            lambda: TextVectorization(
                output_mode="count", vocabulary=Vocabulary(["a"])
            ),
            "[TextVectorization] the vocabulary has an unknown token, and one for "
            "padding in the mode 'int' alone. "
            "Got: <Vocabulary of 3> in the mode 'count'.",
        ),
        (
            lambda: TextVectorization()("a"),
            "[TextVectorization] there is no vocabulary yet. "
            "Fix: call adapt(texts) once, or give one.",
        ),
        (
            lambda: TextVectorization().adapt([1]),
            "[TextVectorization] this is no text. Got: a int.",
        ),
        (
            lambda: hash_tokens(["a"], 1, mask_value="a"),
            "[hash_tokens] there is at least one number, and a salt has 64 bits. "
            "Got: num_bins=1, mask_value='a', salt=0.",
        ),
    ],
)
def test_wrong_use(call, message):
    with pytest.raises((errors.ArgumentError, errors.ArgumentTypeError)) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message
