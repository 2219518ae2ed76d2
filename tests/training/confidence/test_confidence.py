"""Confidence as training computes it: coverage, the score in the graph, the shares flagged."""

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
    ScoreHead,
    add_score,
    expose_features,
    features_by_numpy,
    remove_score,
)
from training.cli import MODELS_DIR
from training.confidence import page, recompute
from training.confidence.conformal import (
    LabelledAnswers,
    calibrate_sets,
    collect_answers,
    conformal_threshold,
    halve,
    measure_sets,
    training_range,
)
from training.confidence.ood_benchmark import LOOKALIKES, draw_benchmark, letters
from training.confidence.ood_negatives import TRANSFORMS, draw_outliers, draw_transformed
from training.confidence.page import repeated_coverage
from training.confidence.recompute import recompute_confidence
from training.data.datasets import load_mnist
from training.evaluation.cross_validation import Fold, predict_with_keras
from training.fitting.fit import fit
from training.recipe import Split
from training.recipes import TASK_TRAININGS
from training.train import export_fitted

PICTURES = [name for name, task in TASKS.items() if isinstance(task, ImageTask)]


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("classes", [1, 4])
def test_sets_hold_the_truth_as_often_as_they_say(coverage: float, classes: int) -> None:
    """Sets hold the truth of rows exchangeable with those calibrated on, even of a wrong model.

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
        one = LabelledAnswers(answers[:400], labels[:400], "")
        threshold = conformal_threshold(one.of_truth, coverage)
        # Without the likeliest class that is always in, which only adds coverage.
        shares.append(
            np.mean(LabelledAnswers(answers[400:], labels[400:], "").of_truth >= threshold)
        )
    assert np.mean(shares) >= coverage - 0.004
    # No more than by one row of those calibrated on.
    assert np.mean(shares) <= coverage + 1 / 401 + 0.004


def test_few_rows_promise_nothing() -> None:
    """The threshold is 0 with 10 rows, too few for a coverage of 95 %."""
    assert conformal_threshold(np.full(10, 0.9), 0.95) == 0.0
    assert conformal_threshold(np.full(19, 0.9), 0.95) == 0.9


def test_sets_say_what_they_were_measured_on() -> None:
    """Coverage and the share without exactly one answer are measured on the other rows."""
    calibrating = LabelledAnswers(np.linspace(0.01, 0.99, 99), np.ones(99, np.int64), "these")
    reporting = LabelledAnswers(np.array([0.9, 0.5, 0.02]), np.array([1, 1, 1]), "those")
    sets = calibrate_sets(0.9, calibrating, reporting)
    assert sets.threshold == pytest.approx(0.1)
    assert sets.measured == pytest.approx(2 / 3)
    assert sets.non_singleton_share == pytest.approx(1 / 3)
    assert (sets.calibrated_rows, sets.measured_rows) == (99, 3)
    assert (sets.calibrated_on, sets.measured_on) == ("these", "those")


def test_the_likeliest_class_counts_as_in_the_set() -> None:
    """The most likely class is in a set however small its probability, as the service answers."""
    answers = LabelledAnswers(np.array([[0.4, 0.35, 0.25], [0.1, 0.3, 0.6]]), np.array([0, 1]), "")
    assert measure_sets(0.5, answers) == (0.5, 0.0)
    assert measure_sets(0.3, answers) == (1.0, 1.0)


def test_halves_share_no_picture() -> None:
    """The half that is calibrated on and the half that is reported on are disjoint and balanced."""
    part = Split(np.arange(100), np.arange(100) % 10)
    one, other = halve(part)
    assert sorted([*one.inputs, *other.inputs]) == list(range(100))
    assert np.bincount(one.labels).tolist() == np.bincount(other.labels).tolist() == [5] * 10


def test_a_field_s_range_is_that_of_what_was_recorded() -> None:
    """A range holds numbers as written, not as float32, and the codes that occur."""
    features = {feature.name: feature for feature in HEART.features}
    missing = np.float32(np.nan)
    numbers = training_range(features["oldpeak"], np.array([0.1, missing, 6.2], np.float32))
    assert (numbers.low, numbers.high) == (0.1, 6.2)
    assert training_range(features["thal"], np.array([7, missing, 3, 7], np.float32)).codes == (
        3,
        7,
    )
    nothing = training_range(features["oldpeak"], np.array([missing], np.float32))
    assert (nothing.low, nothing.high) == (None, None)


def head(features: int) -> ScoreHead:
    """Build a head of random weights."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.05, (features, 8)).astype(np.float32)
    bias, last = rng.normal(size=(2, 8)).astype(np.float32)
    return ScoreHead(weights, bias, last, np.float32(0.1))


@pytest.mark.parametrize("name", PICTURES)
def test_adding_a_score_changes_no_other_answer(name: str, tmp_path: Path) -> None:
    """Other outputs stay equal to the last bit; removing the score restores the same bytes."""
    bare = remove_score(onnx.load(read_artifact(MODELS_DIR, name).model))
    width = OnnxSession(saved(expose_features(bare), tmp_path / "tall.onnx"), "cpu").run(
        golden_of(DIGITS)
    )["in_distribution_score/features"]
    whole = add_score(bare, head(width.shape[1]))
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
    assert remove_score(whole).SerializeToString() == bare.SerializeToString()


def saved(proto: onnx.ModelProto, file: Path) -> Path:
    onnx.save(proto, file)
    return file


def test_numpy_computes_the_score_that_the_graph_does(tmp_path: Path) -> None:
    """ONNX's reference and a float64 head, without ONNX Runtime, give its score within 1e-5."""
    bare = remove_score(onnx.load(read_artifact(MODELS_DIR, "digits").model))
    images = golden_of(DIGITS)
    features = features_by_numpy(bare, images)
    small = head(features.shape[1])
    file = saved(add_score(bare, small), tmp_path / "model.onnx")
    answered = OnnxSession(file, "cpu").run(images)[OOD_SCORE]
    # Golden answers have to be repeated as closely; see TOLERANCE_REASON.
    assert np.abs(small.score(features) - answered).max() <= 1e-5


@pytest.mark.parametrize("name", PICTURES)
def test_golden_answers_prove_the_score(name: str, tmp_path: Path) -> None:
    """A graph whose score was tampered with is refused."""
    artifact = read_artifact(MODELS_DIR, name)
    golden, answers = artifact.golden()
    assert OOD_SCORE in answers
    proto = onnx.load(artifact.model)
    (shift,) = (t for t in proto.graph.initializer if t.name == "in_distribution_score/shift")
    value = onnx.numpy_helper.to_array(shift) + np.float32(0.01)
    shift.CopyFrom(onnx.numpy_helper.from_array(value, shift.name))
    with pytest.raises(ArtifactError, match="in_distribution_score"):
        OnnxSession(saved(proto, tmp_path / "model.onnx"), "cpu").check_golden(
            golden, answers, 1e-5
        )


@pytest.mark.parametrize("name", PICTURES)
def test_outliers_are_pictures_and_repeat(name: str) -> None:
    """Outliers are uint8[N, 28, 28], none is blank, and the same seed draws the same."""
    training = TASK_TRAININGS[name]
    data: Any = training.synthetic()
    images, labels = data.train_images[:50], data.train_labels[:50]
    once, again = (draw_outliers(25, images, np.random.default_rng(3)) for _ in range(2))
    assert once.dtype == np.uint8
    assert once.shape == (25, 28, 28)
    assert np.array_equal(once, again)
    assert (once.reshape(25, -1).max(axis=1) > once.reshape(25, -1).min(axis=1)).all()
    aside = draw_transformed(
        20, images, labels, training.invalidating_transforms, np.random.default_rng(0)
    )
    assert aside.shape == (20, 28, 28)


def test_invalidating_transforms_are_known_and_leave_out_the_zero() -> None:
    """Every declared transform exists; a 0 has none, because it stays a 0 under all of them."""
    invalidating_transforms = TASK_TRAININGS["digits"].invalidating_transforms
    assert 0 not in invalidating_transforms
    assert {way for some in invalidating_transforms.values() for way in some} <= set(TRANSFORMS)


@pytest.fixture(scope="module")
def digits(data_dir: Path | None) -> tuple[OnnxSession, float, Any]:
    artifact = read_artifact(MODELS_DIR, "digits")
    confidence = artifact.card.confidence
    assert confidence is not None
    assert confidence.ood is not None
    session = OnnxSession(artifact.model, "cpu")
    return session, confidence.ood.threshold, load_mnist(data_dir)


def flagged(digits: tuple[OnnxSession, float, Any], pictures: Any) -> float:
    session, threshold, _ = digits
    return float((session.run(pictures)[OOD_SCORE] < threshold).mean())


def test_digits_are_seldom_flagged(digits: tuple[OnnxSession, float, Any]) -> None:
    """The score flags at most 2 % of MNIST's test split, on which its threshold was not chosen."""
    assert flagged(digits, digits[2].test_images) <= 0.02


def test_what_is_no_digit_is_flagged(
    digits: tuple[OnnxSession, float, Any], data_dir: Path | None
) -> None:
    """The score flags 95 % of garments, noise, textures, scribbles and shapes of another seed."""
    garments: Any = TASK_TRAININGS["fashion"].load(data_dir)
    others = draw_benchmark(DIGITS, 100, seed=11)
    pooled = np.concatenate(
        [garments.test_images[:1000]]
        + [pictures for name, pictures in others.items() if "photograph" not in name]
    )
    assert flagged(digits, pooled) >= 0.95


def test_letters_that_look_like_no_digit_are_mostly_flagged(
    digits: tuple[OnnxSession, float, Any],
) -> None:
    """The score flags at least 60 % of letters, without those that look like a digit."""
    other = [p for each, p in letters(DIGITS).items() if each not in LOOKALIKES]
    assert flagged(digits, np.concatenate(other)) >= 0.6


@pytest.mark.parametrize("name", TASKS)
def test_a_committed_card_says_how_far_it_is_to_be_trusted(name: str) -> None:
    """Measured coverage is within a point of the promised, where 1,000 rows can show it."""
    confidence = read_artifact(MODELS_DIR, name).card.confidence
    assert confidence is not None
    sets = confidence.conformal
    # With fewer rows the standard error of the measurement is above a point.
    if sets.measured_rows >= 1000:
        assert abs(sets.measured - sets.coverage) <= 0.01
    assert bool(confidence.training_ranges) is not bool(confidence.ood)


def test_confidence_is_recomputed_in_place(tmp_path: Path) -> None:
    """The network's other answers stay equal, the card is new, and every proof still holds."""
    training = TASK_TRAININGS["digits"]
    data = training.prepare(training.synthetic())
    fitted = fit(training, training.recipes["softmax"], data, epochs=1, quiet=True)
    folder = export_fitted(training, "softmax", fitted, data, tmp_path)
    before = read_artifact(tmp_path, "digits-softmax")
    graph, golden = before.model.read_bytes(), before.golden()
    card = recompute_confidence(before, training, data)
    after = read_artifact(tmp_path, "digits-softmax")
    after.verify(training.task.contract)
    assert card == after.card
    assert after.card.metrics == before.card.metrics
    bare = remove_score(onnx.load(after.model)).SerializeToString()
    assert bare == remove_score(onnx.load_from_string(graph)).SerializeToString()
    assert np.array_equal(after.golden()[1]["probabilities"], golden[1]["probabilities"])
    assert [file.name for file in folder.parent.iterdir()] == ["1"]
    shutil.copy(folder / MODEL, folder / GOLDEN)
    with pytest.raises(ArtifactError, match=GOLDEN):
        recompute_confidence(after, training, data)


def test_recomputed_confidence_is_of_networks_fitted_for_the_same_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs come from the card; an older card's are those of its recipe, or an error.

    The epochs run by a network that stopped early do not tell how many were requested.
    """
    training = TASK_TRAININGS["heart"]
    data = training.prepare(training.synthetic())
    fitted = fit(training, training.recipes["mlp16"], data, epochs=1, quiet=True)
    export_fitted(training, "mlp16", fitted, data, tmp_path)
    artifact = read_artifact(tmp_path, "heart-mlp16")
    assert artifact.card.training.requested_epochs == 1
    asked: list[int] = []

    def recorded(*arguments: Any, epochs: int, **options: Any) -> Any:
        asked.append(epochs)
        return artifact.card.confidence

    monkeypatch.setattr(recompute, "compute_confidence", recorded)

    def renewed(**facts: Any) -> None:
        training_facts = artifact.card.training.model_copy(update=facts)
        card = artifact.card.model_copy(update={"training": training_facts})
        recompute_confidence(replace(artifact, card=card), training, data)

    renewed()
    renewed(requested_epochs=None, epochs=17)
    renewed(requested_epochs=None, recipe="mlp16-ensemble", epochs=100)
    assert asked == [1, 300, 100]
    for recipe, epochs in (("mlp16-ensemble", 99), ("mlp16", 301)):
        with pytest.raises(ArtifactError, match=f"was fitted for {epochs} epochs, its recipe says"):
            renewed(requested_epochs=None, recipe=recipe, epochs=epochs)
    with pytest.raises(ArtifactError, match="heart-mlp16/1: heart has no recipe 'gone'; it has: "):
        renewed(recipe="gone")


@pytest.mark.parametrize(("recipe", "calibrated"), [("mlp-ensemble", True), ("logistic", False)])
def test_a_card_says_whether_calibration_used_the_rows_of_the_threshold(
    recipe: str, calibrated: bool
) -> None:
    """The validation split is named, and that calibration was fitted to it, where there is any."""
    training = TASK_TRAININGS["credit"]

    class Unsure:
        outputs = CREDIT.contract.outputs

        def run(self, rows: Any) -> Any:
            return {"probability": np.full(len(rows), 0.5)}

    session: Any = Unsure()
    data = training.prepare(training.synthetic())
    words = collect_answers(training, recipe, session, data, seed=0, epochs=1)[0].words
    assert words.startswith("the validation part, which the network was not fitted to")
    assert words.endswith("but its calibration was") == calibrated
    committed = read_artifact(MODELS_DIR, training.model_name(recipe)).card.confidence
    assert committed is not None
    assert committed.conformal.calibrated_on == words


def test_folds_are_those_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page counts the protocol's folds, not those that a training calibrates on."""
    labels = np.array([0, 1] * 30)
    four = [Fold(labels, {0: np.where(labels, 0.9, 0.2)})] * 4
    monkeypatch.setattr(page, "fold_answers", lambda *_, **__: [four, four])
    assert "2 times 4 folds" in repeated_coverage(TASK_TRAININGS["heart"], "mlp16", None, None)


def test_few_rows_are_answered_by_networks_that_were_not_fitted_to_them() -> None:
    """Heart's sets are calibrated on five fits, each answering a fifth of the rows."""
    training = TASK_TRAININGS["heart"]
    data = replace(training.prepare(training.synthetic()), published=True)
    fitted = fit(training, training.recipes["mlp16"], data, epochs=1, quiet=True)

    class Same:
        """The fitted network in place of its graph."""

        outputs = HEART.contract.outputs

        def run(self, rows: Any) -> Any:
            return {"probability": predict_with_keras(fitted.model, rows)}

    session: Any = Same()
    calibrating, reporting = collect_answers(training, "mlp16", session, data, seed=0, epochs=1)
    assert len(calibrating.labels) == len(data.train.labels) + len(data.validation.labels)
    assert np.array_equal(reporting.labels, data.test.labels)
    everybody = np.concatenate([data.train.inputs, data.validation.inputs])
    own = np.sort(predict_with_keras(fitted.model, everybody))
    assert np.abs(np.sort(calibrating.probabilities) - own).max() > 1e-3
    assert "networks fitted without it" in calibrating.words


def test_models_of_other_data_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data_dir: Path | None
) -> None:
    """A model that was trained on other data keeps its card, because its rows may overlap."""
    reports = ["--reports", str(tmp_path / "reports")]
    models = tmp_path / "models"
    assert main(["train", "credit", "--smoke", "--recipe", "logistic", "--output", str(models),
                 *reports]) == 0  # fmt: skip
    card = (models / "credit-logistic" / "1" / "card.json").read_bytes()
    where = [] if data_dir is None else ["--data-dir", str(data_dir)]
    assert main(["confidence", "credit-logistic", "--models-dir", str(models), *where]) == 1
    assert "was trained on other data" in capsys.readouterr().err
    assert (models / "credit-logistic" / "1" / "card.json").read_bytes() == card
