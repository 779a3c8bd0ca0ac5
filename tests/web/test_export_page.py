"""The page of an export: in its folder, as one file, and with a strict policy."""

import io

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.train import TrainStep

Image = pytest.importorskip("PIL.Image")

LABELS = ["none", "some", "all"]


def new_step():
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return TrainStep(model, nn.CrossEntropyLoss(), optimizer)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder and a file of the same step."""
    folder = tmp_path_factory.mktemp("page")
    named = {
        "inputs": (8, 64), "target": np.zeros(8, np.int32), "rows": [1, 8],
        "labels": LABELS, "name": "light & dark", "quiet": True,
    }  # fmt: skip
    plait.export(new_step(), folder / "web", **named)
    plait.export(
        new_step(), folder / "all.html", single_file=True, quantize="int8", **named
    )
    return folder


@pytest.fixture(params=["open", "isolated", "strict", "file"])
def page(request, exported, new_page, server):
    """The page, shown in each of the ways in which it may come."""
    errors = []
    page = new_page("open")
    page.on("pageerror", lambda error: errors.append(error))
    if request.param == "file":
        page.goto((exported / "all.html").as_uri())
    else:
        server.folders["web"] = exported / "web"
        page.goto(f"{server.address}/{request.param}/web/index.html")
    shown(page)
    yield page
    assert errors == []
    assert page.text_content("#error") == ""


def shown(page):
    """Wait until the model has answered, or something went wrong."""
    page.wait_for_selector("#answer td, #error:not(:empty)")
    assert page.text_content("#error") == ""


def scores(page):
    """Return what the page shows: scores by labels, in its order."""
    rows = page.query_selector_all("#answer tr")
    return {
        cells[0].text_content(): float(cells[1].text_content())
        for cells in (row.query_selector_all("td") for row in rows)
    }


def test_a_visitor_asks(page):
    assert page.text_content("h1") == "light & dark"
    assert "1,091 weights" in page.text_content("#about")
    picture = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    before = scores(page)
    content = {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.set_input_files("#file", content)
    page.wait_for_selector("#seen")
    found = scores(page)
    assert found != before
    x = plait.asarray(picture.reshape(1, 64).astype(np.float32) / 255)
    wanted = new_step().model(x).numpy()[0]
    assert list(found) == [LABELS[i] for i in np.argsort(-wanted)]
    for label, score in zip(LABELS, wanted, strict=True):
        assert found[label] == pytest.approx(score, abs=0.02)
    assert " ms with simd128" in page.text_content("#time")


def test_a_visitor_types_numbers(page):
    page.fill("#numbers", "0.5 " * 64)
    page.click("#run")
    wanted = new_step().model(plait.full((1, 64), 0.5)).numpy()[0]
    assert scores(page)[LABELS[int(wanted.argmax())]] == pytest.approx(
        wanted.max(), abs=0.02
    )


def test_a_step_is_timed_and_leaves_the_weights(page):
    page.fill("#numbers", "0.5 " * 64)
    page.click("#run")
    before = scores(page)
    page.click("#train")
    page.wait_for_selector("#steps:not(:empty)")
    assert "ms for a step" in page.text_content("#steps")
    page.click("#run")
    assert scores(page) == before


def test_wrong_numbers_are_told(exported, new_page, server):
    page = new_page("open")
    server.folders["web"] = exported / "web"
    page.goto(f"{server.address}/open/web/index.html")
    shown(page)
    page.fill("#numbers", "1 2 3")
    page.click("#run")
    assert "input" in page.text_content("#error")


def opened(source, folder, new_page, server, **named):
    plait.export(source, folder, rows=1, quiet=True, **named)
    page = new_page("strict")
    server.folders["texts"] = folder
    page.goto(f"{server.address}/strict/texts/index.html")
    shown(page)
    return page


def test_a_text_is_read(tmp_path, new_page, server):
    plait.manual_seed(0)
    words = ["<pad>", "<unk>", "it", "is", "n't", "bad", "!"]

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.scores = nn.Embedding(7, 4), nn.Linear(8 * 4, 3)

        def forward(self, ids):
            return self.scores(self.words(ids).flatten(1))

    model = Reader()
    page = opened(
        model, tmp_path / "web", new_page, server,
        inputs=np.zeros((1, 8), np.int64), labels=LABELS, notes={"words": words},
    )  # fmt: skip
    page.fill("#text", "It isn\u2019t strangely bad!")
    page.click("#read")
    ids = [0, 0, *(words.index(x) for x in ("it", "is", "n't", "<unk>", "bad", "!"))]
    assert page.input_value("#numbers") == " ".join(map(str, ids))
    wanted = model(plait.tensor([ids])).numpy()[0]
    for label, score in zip(LABELS, wanted, strict=True):
        assert scores(page)[label] == pytest.approx(score, abs=1e-4)


def test_a_text_is_gone_on_with(tmp_path, new_page, server):
    letters = ["?", "a", "b", "c"]

    class Writer(nn.Module):
        """After a letter comes the next one, after the last the first."""

        def __init__(self):
            super().__init__()
            self.after = nn.Embedding(4, 4)
            self.after.weight.data = 30 * plait.eye(4)[plait.tensor([1, 2, 3, 1])]

        def forward(self, ids):
            return self.after(ids)

    page = opened(
        Writer(), tmp_path / "web", new_page, server,
        inputs=np.zeros((1, 6), np.int32), notes={"letters": letters},
    )  # fmt: skip
    page.fill("#text", "ab")
    page.click("#read")
    page.wait_for_selector("#read:not([disabled])")
    assert page.input_value("#text") == ("abc" * 68)[:202]
