"""The playground as a visitor has it: clicked through in Chromium, with screenshots.

The screenshots are in the folder `screenshots` of the run's temporary folder.
"""

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import nn
from plait.cli import exhibits, playground
from plait.data import digits

PATIENCE = 30_000  # milliseconds
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
NONE = "\N{EN DASH}"
BLUE, ORANGE = "43 91 215", "196 95 0"  # of the points, on a light page
PAGES = ("index.html", "train.html", "plane.html", "write.html")
LITTLE = exhibits.Effort("mnist-5k", 2, "", 40, 32, ("relaxed", "threads"), ("wasm",))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A playground with networks that have learned a little."""
    folder = tmp_path_factory.mktemp("playground")
    text = folder / "text.txt"
    text.write_text("the cat sat on the mat, and the dog sat on the cat.\n" * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exhibits, "cache_folder", lambda: folder / "cache")
        patch.setattr(exhibits, "PLANES", ((6,), (8, 8)))
        effort = LITTLE._replace(text=str(text))
        exhibits.build(folder / "site", effort, tell=lambda _: None)
    return folder / "site"


@pytest.fixture(scope="module")
def address(site):
    """The address at which `plait playground` serves it."""
    server = playground.new_server(site, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    return tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="module")
def tab(browser):
    """One page for all tests, as each new one takes time."""
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        yield page


@pytest.fixture
def visit(tab, address):
    """Open a page; if it should be calm, nothing may have gone wrong."""
    complaints = []
    stormy = []

    def failed(error):
        complaints.append(str(error))

    def said(message):
        if message.type == "error":
            complaints.append(message.text)

    def visit(path, viewport=DESK, calm=True, **media):
        tab.set_viewport_size(viewport)
        tab.emulate_media(**{"color_scheme": "light", "reduced_motion": None} | media)
        tab.goto(f"{address}/{path}")
        if not calm:
            stormy.append(path)
        return tab

    tab.on("pageerror", failed)
    tab.on("console", said)
    yield visit
    tab.remove_listener("pageerror", failed)
    tab.remove_listener("console", said)
    # What it keeps is not for the next test.
    tab.goto("about:blank")
    storage = tab.context.new_cdp_session(tab)
    storage.send(
        "Storage.clearDataForOrigin", {"origin": address, "storageTypes": "indexeddb"}
    )
    storage.detach()
    assert stormy or complaints == []


def shoot(page, folder, name):
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000


def picture(page, selector):
    """Return what a canvas shows, as a text."""
    return page.evaluate("(one) => document.querySelector(one).toDataURL()", selector)


def colours(page, selector):
    """Return how many pixels of a canvas have each colour, by red, green, blue."""
    return page.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const found = {};
            for (let i = 0; i < data.length; i += 4) {
                const colour = data.slice(i, i + 3).join(" ");
                found[colour] = (found[colour] ?? 0) + 1;
            }
            return found;
        }""",
        selector,
    )


def until(page, condition):
    """Wait until an expression is true.

    Playwright's own way evaluates texts in the page, which its policy forbids.
    """
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() < end, f"it never came true: {condition}"
        page.wait_for_timeout(20)


def shown(selector):
    """Return an expression: the text of an element."""
    return f"document.querySelector('{selector}').textContent"


def number(page, selector):
    """Return the number that an element shows."""
    return float(page.inner_text(selector).split("%")[0].replace(",", ""))


def test_a_drawn_digit_is_read(visit, screenshots):
    page = visit("index.html")
    page.wait_for_selector("#samples button:nth-child(10)")
    assert page.inner_text("#answer") == "?"
    before = picture(page, "#third canvas")
    box = page.locator("#ink").bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(middle, box["y"] + 0.8 * box["height"], steps=8)
    page.mouse.up()
    until(page, shown("#answer") + " == '1'")
    assert not page.is_visible("#hint")
    for layer in ("#input", "#first", "#second", "#third"):
        assert len(colours(page, f"{layer} canvas")) > 4
    assert picture(page, "#third canvas") != before
    until(page, shown("#sure") + " != ''")
    shoot(page, screenshots, "draw")
    page.click("#clear")
    until(page, shown("#answer") + " == '?'")
    assert picture(page, "#third canvas") == before


def test_a_sample_is_read_as_in_python(visit, site):
    page = visit("index.html")
    page.wait_for_selector("#samples button:nth-child(10)")
    page.focus("#samples button:nth-child(4)")
    page.keyboard.press("Enter")
    until(page, shown("#answer") + " != '?'")
    shares = page.locator("#chances .amount").all_inner_texts()

    reader = exhibits.Reader()
    path = site / "models" / "reader" / "weights.safetensors"
    weights = nn.load_weights(path)
    reader.load_state_dict({name: weights[name] for name in reader.state_dict()})
    data = digits("mnist-5k")
    picture = data.test_images[data.test_labels == 3][:1]
    pixels = picture[:, None].astype(np.float32) / 255
    chances = reader(plait.asarray(pixels))["probabilities"].numpy()[0]
    found = [float(text.removesuffix(" %")) for text in shares]
    np.testing.assert_allclose(found, 100 * chances, atol=0.51)


def test_the_digit_is_placed_as_in_mnist(visit):
    """Where and how large a digit is drawn does not matter."""
    page = visit("index.html")
    result = page.evaluate("""async () => {
        const { asDigit } = await import("./digits.js");
        const drawn = (side, left, top, size) => {
            const ink = new Float32Array(side * side);
            for (let y = top; y < top + size; y++)
                for (let x = left; x < left + size / 2; x++) ink[y * side + x] = 0.5;
            return [...asDigit(ink, side, side)];
        };
        return [asDigit(new Float32Array(9), 3, 3), drawn(100, 0, 0, 40),
                drawn(100, 60, 50, 40), drawn(200, 20, 90, 80)];
    }""")
    assert result[0] is None
    # 20 pixels high, half as wide, in the middle.
    expected = np.zeros((28, 28))
    expected[4:24, 9:19] = 1
    for picture in result[1:]:
        np.testing.assert_array_equal(np.reshape(picture, (28, 28)), expected)


@pytest.mark.parametrize("engine", ["wasm", "threads"])
def test_training_is_seen(visit, screenshots, engine):
    page = visit("train.html")
    page.wait_for_selector("#go:enabled")
    choice = page.locator(f"#engines input[value={engine}]")
    if choice.is_disabled():
        pytest.skip("this machine has one core")
    choice.check()
    page.wait_for_selector("#go:enabled")
    assert number(page, "#accuracy") < 30
    page.click("#go")
    until(page, f"parseFloat({shown('#passes')}) > 2")
    page.click("#go")
    page.wait_for_selector("text=Go on")
    until(page, f"parseFloat({shown('#accuracy')}) > 60")
    assert number(page, "#speed") > 100
    assert len(colours(page, "#loss-chart")) > 4
    assert page.locator("#shown .right").count() > 20
    shoot(page, screenshots, f"train-{engine}")


def test_what_was_learned_is_kept_given_away_and_brought_back(visit, tmp_path):
    page = visit("train.html")
    page.wait_for_selector("#go:enabled")
    page.click("#go")
    until(page, f"parseFloat({shown('#accuracy')}) > 50")
    page.click("#go")
    page.wait_for_selector("text=Go on")
    page.click("#keep")
    page.wait_for_selector("text=Kept in this browser.")
    accuracy = number(page, "#accuracy")
    with page.expect_download() as started:
        page.click("#download")
    path = tmp_path / started.value.suggested_filename
    assert path.name == "plait-mlp.safetensors"
    started.value.save_as(path)
    assert int(nn.load_weights(path)["optimizer.step"]) > 0

    for bring_back in (
        lambda: page.click("#restore"),
        lambda: choose_file(page, path),
    ):
        page.click("#reset")
        until(page, f"parseFloat({shown('#accuracy')}) < 30")
        bring_back()
        until(page, f"parseFloat({shown('#accuracy')}) > 50")
        assert number(page, "#accuracy") == accuracy


def choose_file(page, path):
    with page.expect_file_chooser() as opened:
        page.click("#upload")
    opened.value.set_files(path)


def test_a_wrong_file_is_refused_in_words(visit, tmp_path):
    path = tmp_path / "wrong.safetensors"
    nn.save_weights({"0.weight": np.zeros(3, np.float32)}, path)
    page = visit("train.html", calm=False)
    page.wait_for_selector("#go:enabled")
    choose_file(page, path)
    page.wait_for_selector("#trouble:visible")
    assert page.inner_text("#trouble").startswith(
        "That did not work: this file does not hold what such a network learns."
    )
    # It goes on as if nothing had happened, and the complaint is gone.
    page.click("#go")
    until(page, f"parseFloat({shown('#passes')}) > 0.5")
    assert not page.is_visible("#trouble")


def test_a_network_that_is_lost_is_not_trained_on(visit, site, tmp_path):
    weights = dict(nn.load_weights(site / "models" / "mlp" / "weights.safetensors"))
    weights["4.bias"] = plait.full(weights["4.bias"].shape, float("nan"))
    path = tmp_path / "lost.safetensors"
    nn.save_weights(weights, path)
    page = visit("train.html", calm=False)
    page.wait_for_selector("#go:enabled")
    choose_file(page, path)
    page.wait_for_selector("text=Uploaded.")
    page.click("#go")
    page.wait_for_selector("#trouble:visible")
    assert "the steps were too large" in page.inner_text("#trouble")
    assert page.inner_text("#go") != "Pause"


@pytest.mark.parametrize(
    ("file", "page_name"),
    [
        ("models/reader/manifest.json", "index.html"),
        ("data/digits.safetensors", "train.html"),
        ("site.json", "plane.html"),
        ("models/writer/weights.safetensors", "write.html"),
    ],
)
def test_a_missing_file_is_told_in_words(tab, visit, file, page_name):
    def gone(route):
        route.fulfill(status=404, body="")

    tab.route(f"**/{file}", gone)
    page = visit(page_name, calm=False)
    page.wait_for_selector("#trouble:visible")
    said = page.inner_text("#trouble")
    tab.unroute_all()
    assert said.startswith("A file of this page is missing or damaged.")
    assert file in said


def test_the_convolutional_network_trains_too(visit):
    page = visit("train.html")
    page.wait_for_selector("#go:enabled")
    page.check("#nets input[value=cnn]")
    page.wait_for_selector("#go:enabled")
    page.click("#go")
    until(page, f"parseFloat({shown('#passes')}) > 0.1")


def test_borders_move(visit, screenshots):
    page = visit("plane.html")
    page.wait_for_selector("#go:enabled")
    before = picture(page, "#cells canvas")
    until(page, f"parseFloat({shown('#right')}) > 80")
    assert picture(page, "#cells canvas") != before
    assert number(page, "#speed") > 10
    shoot(page, screenshots, "plane")
    page.check("#sizes input[value=plane-6]")
    until(page, "document.querySelectorAll('#cells canvas').length == 6")
    page.click("#go")
    page.wait_for_selector("text=Go on")
    page.wait_for_timeout(100)
    still = picture(page, "#cells canvas")
    page.wait_for_timeout(100)
    assert picture(page, "#cells canvas") == still


def test_points_are_added_by_mouse_and_by_keyboard(visit):
    page = visit("plane.html", reduced_motion="reduce")
    page.wait_for_selector("#go:enabled")
    assert page.inner_text("#go") == "Go on"  # nothing moves by itself
    page.click("#clear")
    until(page, shown("#right") + f" == '{NONE}'")
    assert BLUE not in colours(page, "#plane")
    page.click("#plane", position={"x": 100, "y": 100})
    until(page, shown("#right") + f" != '{NONE}'")
    found = colours(page, "#plane")
    assert found[BLUE] > 20
    assert ORANGE not in found
    page.check("#colours input[value='1']")
    page.focus("#plane")
    for key in ("ArrowLeft", "ArrowUp", "Space"):
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert colours(page, "#plane")[ORANGE] > 8  # the cross is over it


def test_text_appears(visit, screenshots):
    page = visit("write.html")
    page.wait_for_selector("#go:enabled")
    page.fill("#begin", "the c")
    page.keyboard.press("Enter")
    until(page, shown("#text") + ".length > 60")
    text = page.inner_text("#text")
    assert text.startswith("the c")
    shares = page.locator("#chances .amount").all_inner_texts()
    assert 50 < sum(float(text.removesuffix(" %")) for text in shares) <= 104
    shoot(page, screenshots, "write")
    page.click("#go")
    page.wait_for_selector("text=Write again")
    length = len(page.inner_text("#text"))
    page.wait_for_timeout(150)
    assert len(page.inner_text("#text")) == length


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_on_a_phone_and_are_usable_by_keyboard(visit, screenshots, path):
    page = visit(path, PHONE, color_scheme="dark")
    page.wait_for_selector("#trouble", state="hidden")
    page.wait_for_timeout(200)
    shoot(page, screenshots, f"phone-{Path(path).stem}")
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= PHONE["width"]
    # All that can be operated has a name, and the pages can be reached.
    nameless = page.evaluate("""() =>
        [...document.querySelectorAll("button, input, a, canvas, [tabindex]")]
            .filter((one) => !one.closest("[aria-hidden=true]"))
            .filter((one) => !(one.innerText?.trim() || one.ariaLabel
                || one.labels?.length || one.hidden))
            .map((one) => one.outerHTML)""")
    assert nameless == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    links = page.locator("nav a").all()
    assert len(links) == len(PAGES)
    assert page.locator("nav a[aria-current=page]").count() == 1


def test_without_headers_a_page_says_why_there_are_no_threads(browser, server, site):
    server.folders["playground"] = site
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(f"{server.address}/open/playground/train.html")
        page.wait_for_selector("#go:enabled")
        assert page.locator("#engines input[value=threads]").is_disabled()
        assert "Threads need two headers from the server." in page.inner_text(
            "#reasons"
        )
