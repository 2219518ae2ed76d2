"""Confidence as training computes it: coverage, the score in the graph, what it flags."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.cli import main
from service.contract.image import ImageTask
from service.contract.uncertainty import OOD_SCORE
from service.errors import ArtifactError
from service.models.artifacts.artifact import GOLDEN, MODEL, read_artifact
from service.models.runtime.session import OnnxSession
from service.tasks import TASKS
from service.tasks.credit import TASK as CREDIT
from service.tasks.digits import TASK as DIGITS
from service.tasks.heart import TASK as HEART
from tests.artifacts import golden_of
from training.artifacts.graph import (
    Head,
    features_by_numpy,
    with_familiarity,
    with_features,
    without_familiarity,
)
from training.cli import MODELS_DIR
from training.confidence import page, recompute
from training.confidence.conformal import (
    Judged,
    cutoff_of,
    halves,
    held,
    judged,
    seen,
    sets_of,
)
from training.confidence.ood_benchmark import LOOKALIKES, letters, outsiders
from training.confidence.ood_negatives import WAYS, strangers, turned
from training.confidence.page import repeated
from training.confidence.recompute import renew
from training.data.datasets import load_mnist
from training.evaluation.cross_validation import Fold, answers_of
from training.export.export import export
from training.fitting.fit import fit
from training.recipe import Part
from training.recipes import COURSES

PICTURES = [name for name, task in TASKS.items() if isinstance(task, ImageTask)]


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("classes", [1, 4])
def test_sets_hold_the_truth_as_often_as_they_say(coverage: float, classes: int) -> None:
    """Of rows exchangeable with those calibrated on, whatever the model: here one that is wrong.

    Over 300 draws of 400 rows the mean coverage has a standard error of at most .1 points (a Beta
    distribution's deviation of 1.5 points, through 300); four of them are tolerated.
    """
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        if classes == 1:
            answers = rng.random(800)
            labels = (rng.random(800) < answers**2).astype(np.int64)
        else:
            answers = rng.dirichlet(np.full(classes, 0.5), 800)
            labels = np.array([rng.choice(classes, p=p) for p in answers])
        one = Judged(answers[:400], labels[:400], "")
        cutoff = cutoff_of(one.of_truth, coverage)
        # Without the likeliest class that is always in, which only adds coverage.
        shares.append(np.mean(Judged(answers[400:], labels[400:], "").of_truth >= cutoff))
    assert np.mean(shares) >= coverage - 0.004
    # No more than by one row of those calibrated on.
    assert np.mean(shares) <= coverage + 1 / 401 + 0.004


def test_few_rows_promise_nothing() -> None:
    """With 10 rows no cutoff holds 95 of 100: everything is in a set."""
    assert cutoff_of(np.full(10, 0.9), 0.95) == 0.0
    assert cutoff_of(np.full(19, 0.9), 0.95) == 0.9


def test_sets_say_what_they_were_measured_on() -> None:
    """Coverage and the share without exactly one answer, of the other rows."""
    calibrating = Judged(np.linspace(0.01, 0.99, 99), np.ones(99, np.int64), "these")
    reporting = Judged(np.array([0.9, 0.5, 0.02]), np.array([1, 1, 1]), "those")
    sets = sets_of(0.9, calibrating, reporting)
    assert sets.cutoff == pytest.approx(0.1)
    assert sets.measured == pytest.approx(2 / 3)
    assert sets.ambiguous == pytest.approx(1 / 3)
    assert (sets.calibrated_rows, sets.measured_rows) == (99, 3)
    assert (sets.calibrated_on, sets.measured_on) == ("these", "those")


def test_the_likeliest_class_counts_as_in_the_set() -> None:
    """As it is answered."""
    answers = Judged(np.array([[0.4, 0.35, 0.25], [0.1, 0.3, 0.6]]), np.array([0, 1]), "")
    assert held(0.5, answers) == (0.5, 0.0)
    assert held(0.3, answers) == (1.0, 1.0)


def test_halves_share_no_picture() -> None:
    """What is calibrated on is not reported on."""
    part = Part(np.arange(100), np.arange(100) % 10)
    one, other = halves(part)
    assert sorted([*one.inputs, *other.inputs]) == list(range(100))
    assert np.bincount(one.labels).tolist() == np.bincount(other.labels).tolist() == [5] * 10


def test_a_field_s_range_is_that_of_what_was_recorded() -> None:
    """Numbers as they were written, not as float32 holds them; codes that occur."""
    features = {feature.name: feature for feature in HEART.features}
    missing = np.float32(np.nan)
    numbers = seen(features["oldpeak"], np.array([0.1, missing, 6.2], np.float32))
    assert (numbers.low, numbers.high) == (0.1, 6.2)
    assert seen(features["thal"], np.array([7, missing, 3, 7], np.float32)).codes == (3, 7)
    nothing = seen(features["oldpeak"], np.array([missing], np.float32))
    assert (nothing.low, nothing.high) == (None, None)


def head(features: int) -> Head:
    """Of weights at random."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.05, (features, 8)).astype(np.float32)
    bias, last = rng.normal(size=(2, 8)).astype(np.float32)
    return Head(weights, bias, last, np.float32(0.1))


@pytest.mark.parametrize("name", PICTURES)
def test_a_familiarity_changes_no_other_answer(name: str, tmp_path: Path) -> None:
    """To the last bit, in bulk and alone; taken off again, the graph is the same bytes."""
    bare = without_familiarity(onnx.load(read_artifact(MODELS_DIR, name).model))
    width = OnnxSession(saved(with_features(bare), tmp_path / "tall.onnx"), "cpu").run(
        golden_of(DIGITS)
    )["familiarity/features"]
    whole = with_familiarity(bare, head(width.shape[1]))
    before, after = (
        OnnxSession(saved(proto, tmp_path / file), "cpu")
        for file, proto in (("bare.onnx", bare), ("whole.onnx", whole))
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 28, 28), np.uint8) * (rng.random((64, 28, 28)) < 0.3)
    for batch in (images, images[:1], images[:7]):
        answers = after.run(batch)
        for output, old in before.run(batch).items():
            assert np.array_equal(answers[output], old)
        assert np.all((answers[OOD_SCORE] >= 0) & (answers[OOD_SCORE] <= 1))
    assert without_familiarity(whole).SerializeToString() == bare.SerializeToString()


def saved(proto: onnx.ModelProto, file: Path) -> Path:
    onnx.save(proto, file)
    return file


def test_numpy_computes_the_familiarity_that_the_graph_does(tmp_path: Path) -> None:
    """ONNX's reference and a head in float64, with nothing of ONNX Runtime: within 1e-5."""
    bare = without_familiarity(onnx.load(read_artifact(MODELS_DIR, "digits").model))
    images = golden_of(DIGITS)
    features = features_by_numpy(bare, images)
    small = head(features.shape[1])
    file = saved(with_familiarity(bare, small), tmp_path / "model.onnx")
    answered = OnnxSession(file, "cpu").run(images)[OOD_SCORE]
    # Golden answers have to be repeated as closely; see TOLERANCE_REASON.
    assert np.abs(small.familiarity(features) - answered).max() <= 1e-5


@pytest.mark.parametrize("name", PICTURES)
def test_golden_answers_prove_the_familiarity(name: str, tmp_path: Path) -> None:
    """A graph whose score was tampered with does not pass."""
    artifact = read_artifact(MODELS_DIR, name)
    golden, answers = artifact.golden()
    assert OOD_SCORE in answers
    proto = onnx.load(artifact.model)
    (shift,) = (t for t in proto.graph.initializer if t.name == "familiarity/shift")
    value = onnx.numpy_helper.to_array(shift) + np.float32(0.01)
    shift.CopyFrom(onnx.numpy_helper.from_array(value, shift.name))
    with pytest.raises(ArtifactError, match="familiarity"):
        OnnxSession(saved(proto, tmp_path / "model.onnx"), "cpu").check_golden(
            golden, answers, 1e-5
        )


@pytest.mark.parametrize("name", PICTURES)
def test_strangers_are_pictures_and_repeat(name: str) -> None:
    """uint8[N, 28, 28] with something on each; the same seed draws the same."""
    course = COURSES[name]
    data: Any = course.synthetic()
    images, labels = data.train_images[:50], data.train_labels[:50]
    once, again = (strangers(25, images, np.random.default_rng(3)) for _ in range(2))
    assert once.dtype == np.uint8
    assert once.shape == (25, 28, 28)
    assert np.array_equal(once, again)
    assert (once.reshape(25, -1).max(axis=1) > once.reshape(25, -1).min(axis=1)).all()
    aside = turned(20, images, labels, course.ways, np.random.default_rng(0))
    assert aside.shape == (20, 28, 28)


def test_what_may_be_turned_is_declared_with_known_ways() -> None:
    """A 0 stays a 0 however it is turned."""
    ways = COURSES["digits"].ways
    assert 0 not in ways
    assert {way for some in ways.values() for way in some} <= set(WAYS)


@pytest.fixture(scope="module")
def digits(data_dir: Path | None) -> tuple[OnnxSession, float, Any]:
    artifact = read_artifact(MODELS_DIR, "digits")
    confidence = artifact.card.confidence
    assert confidence is not None
    assert confidence.familiar is not None
    session = OnnxSession(artifact.model, "cpu")
    return session, confidence.familiar.cutoff, load_mnist(data_dir)


def flagged(digits: tuple[OnnxSession, float, Any], pictures: Any) -> float:
    session, cutoff, _ = digits
    return float((session.run(pictures)[OOD_SCORE] < cutoff).mean())


def test_digits_are_seldom_flagged(digits: tuple[OnnxSession, float, Any]) -> None:
    """At most 2 % of MNIST's test part, which the cutoff was not chosen on."""
    assert flagged(digits, digits[2].test_images) <= 0.02


def test_what_is_no_digit_is_flagged(
    digits: tuple[OnnxSession, float, Any], data_dir: Path | None
) -> None:
    """Garments, noise, textures, scribbles and shapes: 95 % of all; drawn with another seed."""
    garments: Any = COURSES["fashion"].load(data_dir)
    others = outsiders(DIGITS, 100, seed=11)
    pooled = np.concatenate(
        [garments.test_images[:1000]]
        + [pictures for name, pictures in others.items() if "photograph" not in name]
    )
    assert flagged(digits, pooled) >= 0.95


def test_letters_that_look_like_no_digit_are_mostly_flagged(
    digits: tuple[OnnxSession, float, Any],
) -> None:
    """At least 60 % of them; not those that a person would take for a digit."""
    other = [p for each, p in letters(DIGITS).items() if each not in LOOKALIKES]
    assert flagged(digits, np.concatenate(other)) >= 0.6


@pytest.mark.parametrize("name", TASKS)
def test_a_committed_card_says_how_far_it_is_to_be_trusted(name: str) -> None:
    """Every task's; measured within a point of what is promised, where a point can be seen."""
    confidence = read_artifact(MODELS_DIR, name).card.confidence
    assert confidence is not None
    sets = confidence.sets
    # Of fewer rows a point is less than the standard error of the measurement.
    if sets.measured_rows >= 1000:
        assert abs(sets.measured - sets.coverage) <= 0.01
    assert bool(confidence.seen) is not bool(confidence.familiar)


def test_the_confidence_of_a_version_is_computed_anew_in_place(tmp_path: Path) -> None:
    """The same network, a card with new figures, and every proof still good."""
    course = COURSES["digits"]
    data = course.prepare(course.synthetic())
    fitted = fit(course, course.recipes["softmax"], data, epochs=1, quiet=True)
    folder = export(course, "softmax", fitted, data, tmp_path)
    before = read_artifact(tmp_path, "digits-softmax")
    graph, golden = before.model.read_bytes(), before.golden()
    card = renew(before, course, data)
    after = read_artifact(tmp_path, "digits-softmax")
    after.verify(course.task.contract)
    assert card == after.card
    assert after.card.metrics == before.card.metrics
    bare = without_familiarity(onnx.load(after.model)).SerializeToString()
    assert bare == without_familiarity(onnx.load_from_string(graph)).SerializeToString()
    assert np.array_equal(after.golden()[1]["probabilities"], golden[1]["probabilities"])
    assert [file.name for file in folder.parent.iterdir()] == ["1"]
    shutil.copy(folder / MODEL, folder / GOLDEN)
    with pytest.raises(ArtifactError, match=GOLDEN):
        renew(after, course, data)


def test_confidence_anew_is_that_of_networks_fitted_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epochs asked for are on the card; an older card's are those of its recipe, or unknown.

    A network that stops early says nothing of how long it might have gone on.
    """
    course = COURSES["heart"]
    data = course.prepare(course.synthetic())
    export(course, "mlp16", fit(course, course.recipes["mlp16"], data, epochs=1, quiet=True), data,
           tmp_path)  # fmt: skip
    artifact = read_artifact(tmp_path, "heart-mlp16")
    assert artifact.card.training.asked == 1
    asked: list[int] = []

    def recorded(*arguments: Any, epochs: int, **options: Any) -> Any:
        asked.append(epochs)
        return artifact.card.confidence

    monkeypatch.setattr(recompute, "confidence_of", recorded)

    def renewed(**facts: Any) -> None:
        training = artifact.card.training.model_copy(update=facts)
        card = artifact.card.model_copy(update={"training": training})
        renew(replace(artifact, card=card), course, data)

    renewed()
    renewed(asked=None, epochs=17)
    renewed(asked=None, recipe="mlp16-ensemble", epochs=100)
    assert asked == [1, 300, 100]
    for recipe, epochs in (("mlp16-ensemble", 99), ("mlp16", 301)):
        with pytest.raises(ArtifactError, match=f"was fitted for {epochs} epochs, its recipe says"):
            renewed(asked=None, recipe=recipe, epochs=epochs)
    with pytest.raises(ArtifactError, match="heart-mlp16/1: heart has no recipe 'gone'; it has: "):
        renewed(recipe="gone")


@pytest.mark.parametrize(("recipe", "calibrated"), [("mlp-ensemble", True), ("logistic", False)])
def test_what_a_cutoff_was_chosen_on_is_not_said_to_be_fresher_than_it_is(
    recipe: str, calibrated: bool
) -> None:
    """The validation part, which calibration has learned from where there is one."""
    course = COURSES["credit"]

    class Unsure:
        outputs = CREDIT.contract.outputs

        def predict(self, rows: Any) -> Any:
            return {"probability": np.full(len(rows), 0.5)}

    session: Any = Unsure()
    data = course.prepare(course.synthetic())
    words = judged(course, recipe, session, data, seed=0, epochs=1)[0].words
    assert words.startswith("the validation part, which the network was not fitted to")
    assert words.endswith("but its calibration was") == calibrated
    committed = read_artifact(MODELS_DIR, course.model_name(recipe)).card.confidence
    assert committed is not None
    assert committed.sets.calibrated_on == words


def test_folds_are_those_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a course splits its other rows into."""
    labels = np.array([0, 1] * 30)
    four = [Fold(labels, {0: np.where(labels, 0.9, 0.2)})] * 4
    monkeypatch.setattr(page, "fold_answers", lambda *_, **__: [four, four])
    assert "2 times 4 folds" in repeated(COURSES["heart"], "mlp16", None, None)


def test_few_rows_are_judged_by_networks_that_did_not_learn_from_them() -> None:
    """Heart's: five fits, each answering a fifth of what is not for testing."""
    course = COURSES["heart"]
    data = replace(course.prepare(course.synthetic()), published=True)
    fitted = fit(course, course.recipes["mlp16"], data, epochs=1, quiet=True)

    class Same:
        """The network itself in place of its graph."""

        outputs = HEART.contract.outputs

        def predict(self, rows: Any) -> Any:
            return {"probability": answers_of(fitted.model, rows)}

    session: Any = Same()
    calibrating, reporting = judged(course, "mlp16", session, data, seed=0, epochs=1)
    assert len(calibrating.labels) == len(data.train.labels) + len(data.validation.labels)
    assert np.array_equal(reporting.labels, data.test.labels)
    everybody = np.concatenate([data.train.inputs, data.validation.inputs])
    own = np.sort(answers_of(fitted.model, everybody))
    assert np.abs(np.sort(calibrating.probabilities) - own).max() > 1e-3
    assert "networks fitted without it" in calibrating.words


def test_models_of_other_data_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data_dir: Path | None
) -> None:
    """Confidence on rows that a model may have learned from would flatter it."""
    reports = ["--reports", str(tmp_path / "reports")]
    models = tmp_path / "models"
    assert main(["train", "credit", "--smoke", "--recipe", "logistic", "--output", str(models),
                 *reports]) == 0  # fmt: skip
    card = (models / "credit-logistic" / "1" / "card.json").read_bytes()
    where = [] if data_dir is None else ["--data-dir", str(data_dir)]
    assert main(["confidence", "credit-logistic", "--models", str(models), *where]) == 1
    assert "was trained on other data" in capsys.readouterr().err
    assert (models / "credit-logistic" / "1" / "card.json").read_bytes() == card
