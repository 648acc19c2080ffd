"""Parts of a report: charts, confusions, attention, calibration, projections."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from keras_bert.analysis.calibration import calibration
from keras_bert.analysis.projection import principal_components
from keras_bert.analysis.report import (
    AttentionView,
    Chart,
    ConfusionMatrix,
    Facts,
    Mistake,
    Mistakes,
    Numbers,
    Section,
    Series,
    Table,
    curves,
    write_report,
)
from keras_bert.analysis.report.charts import _Axis
from keras_bert.errors import InputError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\ud83d"


class Elements(HTMLParser):
    """Collects the start tags of a page, and the text of its scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts.append(data)


def page_of(tmp_path, *blocks) -> str:
    path = tmp_path / "r.html"
    write_report(path, HOSTILE, [Section(HOSTILE, blocks)], lead=HOSTILE)
    return path.read_text("utf-8")


def test_no_text_of_the_data_becomes_markup(tmp_path):
    maps = np.full((1, 2, 2, 2), 0.5)
    x = np.array([0.0, 1.0])
    harmless = Elements(page_of(tmp_path / "a")).tags
    hostile = Elements(
        page_of(
            tmp_path / "b",
            Numbers({HOSTILE: HOSTILE}),
            Facts({HOSTILE: HOSTILE}),
            Table([HOSTILE], [[HOSTILE]], HOSTILE),
            Mistakes([Mistake(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.5, 3)], HOSTILE),
            Chart(
                HOSTILE, HOSTILE, HOSTILE, [Series(x, x, HOSTILE, tips=[HOSTILE] * 2)]
            ),
            ConfusionMatrix(np.array([[1, 2], [3, 4]]), [HOSTILE, "b"]),
            AttentionView([HOSTILE, "b"], maps, [False, False], HOSTILE),
        )
    )
    kinds = {tag for tag, _ in hostile.tags} - {tag for tag, _ in harmless}
    assert "img" not in kinds and len(kinds) > 10
    scripts = [a for tag, a in hostile.tags if tag == "script"]
    assert scripts == [{"type": "application/json"}, {}]
    assert not any(key.startswith("on") for _, a in hostile.tags for key in a)
    assert json.loads(hostile.scripts[0])["tokens"][1] == "b"


def test_only_the_script_of_the_page_may_run_and_nothing_is_loaded(tmp_path):
    import hashlib

    page = page_of(tmp_path)
    (script,) = Elements(page).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in page and f"script-src 'sha256-{digest}'" in page
    assert not re.search(r"https?:|//cdn|@import|url\(", page)


def test_numbers_keep_their_digits(tmp_path):
    page = page_of(tmp_path, Numbers({"a": 2 / 3, "b": float("nan"), "c": 12345}))
    assert f'<data value="{2 / 3!r}">0.6667</data>' in page
    assert "<strong>undefined</strong>" in page and ">12,345</data>" in page


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1.05, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 3.3e-5, ["0", "1e-5", "2e-5", "3e-5"]),
        (0, 1.6e-3, ["0", "5e-4", "1e-3", "1.5e-3"]),
        (-5, 5, ["-4", "-2", "0", "2", "4"]),
        (0, 2800, ["0", "500", "1,000", "1,500", "2,000", "2,500"]),
        (0, 1e7, ["0", "2e6", "4e6", "6e6", "8e6", "1e7"]),
    ],
)
def test_axes_have_round_numbers(low, high, expected):
    assert [text for _, text in _Axis(low, high, 0, 1).ticks()] == expected


def test_curves_are_drawn_of_training_and_development():
    lines = [
        {"step": 10, "split": "train", "loss": 2.0, "learning_rate": 1e-3, "time": 1},
        {"step": 20, "split": "train", "loss": float("nan"), "learning_rate": 5e-4},
        {
            "step": 20,
            "split": "heldout",
            "loss": 1.5,
            "accuracy": 0.5,
            "f1": 9.0,
            "time": 2,
        },
    ]
    charts = curves(lines)
    assert [chart.title for chart in charts] == [
        "Loss",
        "Accuracy",
        "F1",
        "Learning rate",
    ]
    loss, accuracy, _, rate = charts
    assert [len(series.x) for series in loss.series] == [1, 1, 1]
    assert loss.series[-1].tips == ["step 20: 1.5"]
    assert [s.name for s in accuracy.series] == ["", "development"]
    assert rate.series[0].y.tolist() == [1e-3, 5e-4]
    assert all("polyline" in chart.html() for chart in charts)
    long = [{"step": s, "split": "train", "loss": 1 / s} for s in range(1, 5000)]
    assert curves(long)[0].html().count(",") < 3000


def test_bars_begin_at_zero():
    bars = Series(np.array([[0, 1], [1, 2]]), np.array([50.0, 54.0]), mark="bars")
    html = Chart("", "", "", [bars]).html()
    heights = [float(x) for x in re.findall(r'height="([\d.]+)"', html)]
    assert heights[0] / heights[1] == pytest.approx(50 / 54, abs=1e-3)
    assert ">0</text>" in html


@pytest.mark.parametrize("size", [2, 77, 130])
def test_a_confusion_matrix_of_any_size(size):
    counts = np.eye(size, dtype="int64") * 5
    counts[1, 0] = 3
    matrix = ConfusionMatrix(counts, [f"class number {i} of them" for i in range(size)])
    html = matrix.html()
    assert "class number 1 of them: 3 of 8 rows taken for class number 0" in html
    assert html.count("<rect") == 1 + min(size, 100) + 1  # frame, diagonal, mistake
    assert ("classes with most errors" in html) == (size > 100)
    rows = matrix.confusions().rows
    assert rows == [["class number 1 of them", "class number 0 of them", 3, "37.5%"]]


def test_calibration_is_the_mean_distance_of_the_bins():
    probabilities = np.array([0.0, 0.1, 0.95, 0.91, 1.0, 0.55])
    found = calibration(probabilities, np.array([0, 1, 1, 0, 1, 1]))
    assert found.counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    expected = abs(1 - 0.1) + abs(1 - 0.55) + abs(2 - 2.86)
    assert found.error == pytest.approx(expected / 6)
    assert np.isnan(found.right[3]) and found.right[9] == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="from 0 to 1"):
        calibration(np.array([1.5]), np.array([1]))


@pytest.mark.parametrize("shape", [(5, 9), (40, 3), (2, 2)])
def test_principal_components_are_those_of_the_covariance(shape):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=shape) * np.arange(1, shape[1] + 1)
    plane = principal_components(vectors)
    values = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(plane.points.var(0, ddof=1), values[:2], atol=1e-9)
    np.testing.assert_allclose(plane.shares, values[:2] / values.sum(), atol=1e-9)
    with pytest.raises(InputError, match="finite vectors"):
        principal_components(vectors * np.nan)


def test_attention_is_kept_as_bytes_and_ordered_by_strength():
    rng = np.random.default_rng(4)
    maps = rng.dirichlet(np.ones(4), (3, 2, 4)).astype("float32")
    maps[2, 1] = np.eye(4)[[1, 2, 1, 1]]  # decided, among the inner tokens
    maps[1, 0] = np.eye(4)[[3, 3, 3, 3]]  # all to a token that frames
    view = AttentionView(["[CLS]", "a", "b", "[SEP]"], maps, [True, False, False, True])
    strengths = view.strengths()
    assert strengths.argmax() == 5 and strengths[1, 0] == 0
    assert strengths[0, 0] == pytest.approx((maps[0, 0, 1, 2] + maps[0, 0, 2, 1]) / 2)
    (text,) = Elements(view.html()).scripts
    data = json.loads(text)
    stored = np.frombuffer(base64.b64decode(data["maps"]), "uint8").reshape(maps.shape)
    largest = np.array(data["largest"]).reshape(3, 2, 1, 1)
    np.testing.assert_allclose(stored / 255 * largest, maps, atol=0.5 / 255 + 1e-6)
    assert (stored.max((2, 3)) == 255).all()  # a scale for each picture


@pytest.mark.parametrize(
    ("word", "direction"),
    [("film", "ltr"), ("فيلم", "rtl"), ("映画", "ltr"), ("1", "ltr")],
)
def test_tokens_run_in_the_direction_of_the_text(word, direction):
    tokens = ["[CLS]", word]
    view = AttentionView(tokens, np.full((1, 1, 2, 2), 0.5), [True, False])
    assert f'"direction": "{direction}"' in view.html()
