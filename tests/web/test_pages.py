"""Training in pages: responsive, in workers, under a strict policy; keeping weights."""

import base64

import numpy as np
import pytest

import plait

from .conftest import BATCH, Page, message, value
from .test_numbers import BUILDS, array, batches, near, same_state

BUSY = 600  # milliseconds of training
# A timer may be this late, on a busy machine, where training does not hold it up.
LATE = 250


def fit(host, digits, **how):
    inputs = digits.inputs[:10].reshape(-1, 20).tolist()
    targets = digits.labels[:10].ravel().tolist()
    how = {"inputs": inputs, "targets": targets, "yieldEvery": 1, **how}
    return value(host.run("fit", digits.folder, how=how))


def test_fit_trains(host, digits):
    told = fit(host, digits, epochs=8, seed=3)
    history = told["history"]
    assert [one["epoch"] for one in history] == [*range(8)]
    assert told["epochs"] == history
    assert told["batches"] == 8 * 10
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["validationAccuracy"] > history[0]["validationAccuracy"]
    assert all(one["validationLoss"] == 10 for one in history)
    assert told["measured"] == {
        "count": 160,
        "accuracy": history[-1]["validationAccuracy"],
    }
    assert told["state"]["optimizer.step"] == 80


def test_evaluate_says_the_loss_of_an_export_that_knows_it(host, digits, tmp_path):
    plait.export(
        digits.step(), tmp_path, inputs=(BATCH, 20), target=np.zeros(BATCH, np.int64),
        rows=[4], evaluate=True, features=["simd"], page=False, quiet=True,
    )  # fmt: skip
    # Six batches, and four rows more.
    inputs = digits.inputs[:10].reshape(-1, 20)[:100]
    labels = digits.labels[:10].ravel()[:100]
    how = {"inputs": inputs.tolist(), "targets": labels.tolist(), "yieldEvery": 1}
    told = value(host.run("fit", tmp_path, how=how))
    step = digits.step()
    shown = {name: array(x) for name, x in told["state"].items()}
    step.load_state(shown)
    model = step.model.eval()
    with plait.no_grad():
        outputs = model(plait.asarray(inputs))
        wanted = plait.cross_entropy(outputs[:96], plait.asarray(labels[:96])).item()
    measured = told["measured"]
    assert measured["count"] == 100
    assert measured["loss"] == pytest.approx(wanted, rel=1e-5)
    assert measured["accuracy"] == np.mean(outputs.numpy().argmax(1) == labels)
    # Who knows better is heard.
    assert told["history"][0]["validationLoss"] == 10


def test_fit_leaves_time_for_other_things(page, digits):
    assert fit(page, digits, epochs=8)["ticks"] > 2
    assert fit(page, digits, epochs=8, yieldEvery=60_000)["ticks"] == 0


def test_fit_without_a_new_order_is_the_training_of_python(node, digits):
    told = fit(node, digits, epochs=2, shuffle=False)
    step, losses = digits.step(), []
    for _ in range(2):
        pairs = zip(digits.inputs[:10], digits.labels[:10], strict=True)
        found = [float(step(plait.asarray(x), plait.asarray(y))) for x, y in pairs]
        losses.append(np.mean(found))
    assert np.allclose([one["loss"] for one in told["history"]], losses, rtol=1e-5)
    same_state(told["state"], step.state())


def test_orders_of_fit_depend_on_the_seed(node, digits):
    first, same, other = (fit(node, digits, seed=seed)["state"] for seed in (1, 1, 2))
    assert first == same
    assert first["4.bias"] != other["4.bias"]


def test_fit_can_be_stopped(host, digits):
    told = fit(host, digits, epochs=9, abortAt=14)
    assert told["error"]["name"] == "AbortError"
    assert told["batches"] == 15
    assert told["state"]["optimizer.step"] == 15
    told = fit(host, digits, epochs=9, stopAt=1)
    assert len(told["history"]) == 2


def test_settings_of_fit_may_change_from_step_to_step(node, digits):
    constant = fit(node, digits, rates=[0.01])["state"]
    changing = fit(node, digits, rates=[0.01, 0.02])["state"]
    assert constant["4.bias"] != changing["4.bias"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"batchSize": 5}, "the export has no such batchSize. Got: 5. Expected: 16."),
        ({"targets": [1] * 159},
         "target has the wrong length. Got: 159. Expected: 160."),
        ({"inputs": [[0.5] * 20] * 9, "targets": [1] * 9},
         "there are too few rows for a batch. Got: 9. Expected: 16."),
    ],
)  # fmt: skip
def test_what_fit_cannot_do(node, digits, wrong, expected):
    assert fit(node, digits, **wrong)["error"] == {
        "name": "PlaitError",
        "message": expected,
    }


def test_a_worker_keeps_the_page_responsive(page, digits):
    (batch,) = batches(digits, 0, 1)
    found = value(
        page.run("lateness", digits.folder, worker=True, batch=batch, time=BUSY)
    )
    assert found["steps"] > 10
    assert found["worst"] < LATE
    # Without one, nothing else happens until the end.
    found = value(page.run("lateness", digits.folder, batch=batch, time=BUSY))
    assert found["worst"] >= BUSY


def test_a_net_in_a_worker_has_the_same_numbers(host, digits):
    given = {"batches": batches(digits, 0, 10), "options": {"threads": 2}}
    there = value(host.run("train", digits.folder, worker=True, **given))
    assert there == value(host.run("train", digits.folder, **given))


def test_what_fails_in_a_worker(page, digits):
    found = page.run("about", digits.folder, worker=True, elsewhere="nowhere")
    assert "nowhere/manifest.json cannot be had. Got: 404." in message(found)


def test_a_page_that_is_not_isolated_has_one_thread(new_page, server, digits):
    page = new_page("open")
    told = []
    page.on("console", lambda line: told.append(line.text))
    found = Page(page, server, "open").run(
        "about", digits.folder, options={"threads": 2}
    )
    assert value(found)["threads"] == 1
    assert value(found)["features"] == ["simd128", "relaxed-simd"]
    assert told == ["plait: one thread, as this page is not cross-origin isolated"]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("worker", [False, True])
def test_a_strict_policy_is_enough(new_page, server, digits, build, worker):
    page = new_page("strict")
    told = []
    page.on("console", lambda line: told.append(line.text))
    found = Page(page, server, "strict").run(
        "calls",
        digits.folder,
        options=BUILDS[build],
        worker=worker,
        calls=[
            ["predict", digits.inputs[0].tolist()],
            ["trainStep", digits.inputs[0].tolist(), digits.labels[0].tolist()],
        ],
    )
    outputs, step = value(found)
    model = digits.step().model.eval()
    expected = model(plait.asarray(digits.inputs[0])).numpy()
    assert near(array(outputs["value"]), expected)
    assert step["value"]["loss"] > 0
    assert told == []


def test_the_strict_policy_is_one(new_page, server, digits):
    found = Page(new_page("strict"), server, "strict").run("evaluated", digits.folder)
    assert found["error"]["name"] == "EvalError"


# --- weights


def test_weights_are_kept_in_the_browser(new_page, server, digits):
    (batch,) = batches(digits, 0, 1)
    first = Page(new_page(), server, "isolated")
    before = value(first.run("keep", digits.folder, batch=batch))
    assert before["names"] == ["digits"]
    assert before["before"] != before["changed"]
    # Another page of the same server has them too.
    second = Page(new_page(), server, "isolated")
    found = value(second.run("kept", digits.folder))
    assert found == {
        "none": False,
        "some": True,
        "state": before["before"],
        "names": [],
    }


def test_weights_are_uploaded(page, digits, tmp_path):
    step = digits.step()
    step(plait.asarray(digits.inputs[0]), plait.asarray(digits.labels[0]))
    path = tmp_path / "mine.safetensors"
    step.save(path)
    weights = base64.b64encode(path.read_bytes()).decode()
    found = value(page.run("upload", digits.folder, weights=weights))
    same_state(found, step.state())
    weights = base64.b64encode(b"something else").decode()
    found = page.run("upload", digits.folder, weights=weights)
    assert message(found).startswith("the weights are damaged. Got: ")


def test_weights_are_downloaded(page, digits, tmp_path):
    with page.page.expect_download() as download:
        value(page.run("download", digits.folder))
    assert download.value.suggested_filename == "mine.safetensors"
    path = tmp_path / "mine.safetensors"
    download.value.save_as(path)
    step = digits.step()
    step.load(path)
    rows = digits.inputs[0]
    expected = digits.step().model.eval()(plait.asarray(rows)).numpy()
    assert np.array_equal(step.model.eval()(plait.asarray(rows)).numpy(), expected)


def test_nothing_is_kept_in_node(node, digits):
    found = node.run("keep", digits.folder, batch=batches(digits, 0, 1)[0])
    expected = "nothing can be kept here. Got: no IndexedDB. Expected: a browser."
    assert message(found) == expected
