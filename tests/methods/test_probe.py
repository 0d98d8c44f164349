"""The references: against scikit-learn, and without a look at who is tested."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from speechbrain_ser.data.standardised_reader import ENROLMENT
from speechbrain_ser.evaluation.probe import ProbeReport
from speechbrain_ser.methods import probe, probe_choice
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError

LABELS = ["anger", "happiness", "neutral", "sadness"]
ROWS, DIM = 3, 5
TOLD = 1  # the row that tells the emotion
PENALTIES = [0.01, 0.1, 1.0]


class Made:
    """Features that are made up, of deviations too."""

    n_rows, dim = ROWS, 2 * DIM

    def __init__(self):
        self.held = {}

    def add(self, entry, rng, emotion):
        """Makes those of an utterance: its speaker shifts all rows."""
        speaker = np.random.default_rng(ord(entry["speaker"][0]))
        shift = 3 * speaker.normal(size=(ROWS, 2 * DIM))
        rows = rng.normal(size=(ROWS, 2 * DIM)) + shift
        rows[TOLD, LABELS.index(emotion)] += 2.5
        self.held[place(entry)] = torch.tensor(rows * 7 + 20).float()


def corpus(features, speakers, n=24, seed=0, labels=LABELS):
    """Utterances of some speakers."""
    rng, annotation = np.random.default_rng(seed), {}
    for speaker in speakers:
        for i in range(n):
            name = f"{speaker}{i:02}"
            entry = {"wav": name, "duration": 1.0, "speaker": speaker}
            entry["emotion"] = labels[i % len(labels)]
            features.add(entry, rng, entry["emotion"])
            annotation[name] = entry
    return annotation


@pytest.fixture
def features(monkeypatch):
    """Made features, which no cache is filled with."""
    made = Made()
    monkeypatch.setattr(
        probe,
        "cached_features",
        lambda folder, features, annotations, *more: {
            place(entry): features.held[place(entry)]
            for annotation in annotations
            for entry in annotation.values()
        },
    )
    return made


def parts_of(features, labels=LABELS, n=24):
    """Four speakers train, one validates, one tests."""
    return {
        "train": corpus(features, "ABCD", n, 1, labels),
        "valid": corpus(features, "E", n, 2, labels),
        "test": corpus(features, "F", n, 3, labels),
    }


def brain_of(features, folder, labels=LABELS, **settings):
    """A Brain with a checkpointer."""
    settings = {
        "classifier": "logistic",
        "penalties": PENALTIES,
        "batch_size": 16,
    } | settings
    return probe.ProbeBrain(
        labels=labels,
        output_folder=str(folder),
        features=features,
        cache_folder="unused",
        checkpointer=AtomicCheckpointer(folder / "save"),
        run_opts={"device": "cpu", "noprogressbar": True},
        **settings,
    )


def fitted(features, parts, folder, **settings):
    """A Brain that was fitted."""
    brain = brain_of(features, folder, **settings)
    brain.set_parts(parts)
    brain.fit([1], brain.train_set, brain.datasets.get("valid"))
    return brain


def vectors_of(features, annotation, row=TOLD, dim=DIM):
    """The means of a row, labels and speakers, as arrays."""
    entries = list(annotation.values())
    vectors = [features.held[place(e)][row, :dim].numpy() for e in entries]
    labels = [LABELS.index(e["emotion"]) for e in entries]
    return (
        np.stack(vectors).astype(np.float64),
        np.array(labels),
        np.array([e["speaker"] for e in entries]),
    )


def saved(folder):
    """The bytes of the checkpoint's weights, and what was chosen."""
    (path,) = (folder / "save").glob("CKPT+*/probe.ckpt")
    return torch.load(path, weights_only=True)


def same(one, other):
    """Whether two checkpoints hold the same bits."""
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def logits_of(brain, dataset):
    """The module's own, of a dataset."""
    vectors = torch.stack([dataset[i]["sig"] for i in range(len(dataset))])
    return brain.modules.probe(vectors).detach().numpy()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_its_logits_are_scikit_learns(classifier, classes, features, tmp_path):
    """Of a pipeline that was put together here, to 1e-5."""
    labels = LABELS[:classes]
    parts = parts_of(features, labels)
    brain = fitted(
        features, parts, tmp_path, labels=labels, classifier=classifier
    )
    trained = parts["train"] | parts["valid"]
    x, y, _ = vectors_of(features, trained)
    tried, truth, _ = vectors_of(features, parts["test"])
    penalty = saved(tmp_path)["penalty"].item()
    model = LogisticRegression(C=penalty, max_iter=5000)
    if classifier == "svm":
        model = SVC(C=penalty, kernel="linear", break_ties=classes > 2)
    line = make_pipeline(StandardScaler(), model).fit(x, y)
    expected = line.decision_function(tried)
    found = logits_of(brain, brain.datasets["test"])
    if classes == 2 and classifier == "svm":
        # two classes: which wins is all that scikit-learn says
        assert ((found[:, 1] > found[:, 0]) == (expected > 0)).all()
    elif classes == 2:
        expected = np.stack([-expected, expected], axis=1) / 2
        assert np.abs(found - expected).max() < 1e-5
    else:
        # the intercepts of the softmax are known up to a constant
        assert np.abs(found - expected).max() < 1e-5
    assert (found.argmax(1) == line.predict(tried)).all()
    assert (found.argmax(1) == truth).mean() > 0.5


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_the_choice_is_that_of_a_plain_cross_validation(
    classifier, features, tmp_path
):
    """Of scikit-learn's own tools, over rows and C."""
    parts = parts_of(features)
    brain = fitted(features, parts, tmp_path, classifier=classifier, groups=5)
    trained = parts["train"] | parts["valid"]
    worth = {}
    for row in range(ROWS):
        x, y, speakers = vectors_of(features, trained, row)
        for penalty in PENALTIES:
            model = LogisticRegression(C=penalty, max_iter=5000)
            how = "predict_proba"
            if classifier == "svm":
                model = SVC(C=penalty, kernel="linear", break_ties=True)
                how = "predict"
            found = cross_val_predict(
                make_pipeline(StandardScaler(), model),
                x,
                y,
                groups=speakers,
                cv=GroupKFold(5),
                method=how,
            )
            right = np.array([p == t for p, t in zip(found, y)])
            if classifier == "logistic":
                right = np.log(found[range(len(y)), y])
            worth[row, penalty] = np.mean(
                [right[y == label].mean() for label in range(4)]
            )
    noted = brain.history.notes["chosen"]
    assert {
        (*one["layers"], one["C"]): one["worth"] for one in noted["judged"]
    } == pytest.approx(worth, abs=1e-5)
    best = max(worth, key=worth.get)
    assert noted["layers"] == [best[0]] == [TOLD]
    assert worth[TOLD, noted["C"]] == pytest.approx(worth[best], abs=1e-6)
    assert saved(tmp_path)["rows"].tolist() == [TOLD]


@pytest.mark.parametrize("by", ["train", "enrolment"])
def test_the_test_part_decides_nothing(by, features, tmp_path):
    """Other speech and labels of it: the same checkpoint, bit for bit."""
    parts = parts_of(features)
    parts[ENROLMENT] = corpus(features, "EF", 6, 4)
    for name in ("E", "F"):  # under other names than what is scored
        for key in [k for k in parts[ENROLMENT] if k.startswith(name)]:
            entry = parts[ENROLMENT].pop(key)
            moved = entry | {"wav": f"{entry['wav']}-enrolled"}
            features.held[place(moved)] = features.held[place(entry)] + 0.0
            parts[ENROLMENT][f"{key}-enrolled"] = moved
    parts["valid"] = corpus(features, "E", 24, 2)
    parts["test"] = corpus(features, "F", 24, 3)
    settings = {"standardise_by": by, "classifier": "logistic"}
    fitted(features, parts, tmp_path / "a", **settings)
    for entry in parts["test"].values():
        features.held[place(entry)] = 1000 * torch.randn(ROWS, 2 * DIM)
        entry["emotion"] = "sadness"
    parts["test"] = dict(list(parts["test"].items())[:5])
    fitted(features, parts, tmp_path / "b", **settings)
    assert same(saved(tmp_path / "a"), saved(tmp_path / "b"))
    # what validates does train
    features.held[place(parts["valid"]["E00"])] += 50.0
    fitted(features, parts, tmp_path / "c", **settings)
    assert not same(saved(tmp_path / "a"), saved(tmp_path / "c"))


def test_by_speaker_uses_his_own_speech(features, tmp_path):
    """Each is standardised on himself, who is tested too: transductive."""
    parts = parts_of(features)
    brain = fitted(features, parts, tmp_path, standardise_by="speaker")
    for part, annotation in parts.items():
        x, _, speakers = vectors_of(features, annotation)
        for speaker in set(speakers):
            own = x[speakers == speaker]
            x[speakers == speaker] = (own - own.mean(0)) / own.std(0)
        found = torch.stack([brain.vector(e) for e in annotation.values()])
        found = found.unflatten(1, (ROWS, DIM))[:, TOLD].numpy()
        assert np.abs(found - x).max() < 1e-4, part
    moved = {k: dict(e) for k, e in parts["test"].items()}
    before = brain.vector(moved["F01"])
    features.held[place(moved["F00"])] += 100.0
    again = brain_of(features, tmp_path / "b", standardise_by="speaker")
    again.set_parts({"test": moved})
    assert not torch.equal(again.vector(moved["F01"]), before)


def test_by_enrolment_uses_that_part_alone(features, tmp_path):
    """Other tested utterances of a speaker change nothing of this one."""
    parts = parts_of(features)
    enrolled = {
        key: dict(parts[part].pop(key))
        for part, key in (("test", "F00"), ("test", "F01"), ("valid", "E00"))
    } | {"E01": dict(parts["valid"].pop("E01"))}
    for entry in enrolled.values():
        del entry["emotion"]
    parts[ENROLMENT] = enrolled
    brain = fitted(features, parts, tmp_path, standardise_by="enrolment")
    two = torch.stack(
        [features.held[place(enrolled[k])][:, :DIM] for k in ("F00", "F01")]
    )
    own = features.held[place(parts["test"]["F05"])][:, :DIM]
    expected = (own - two.mean(0)) / two.std(0, unbiased=False)
    found = brain.vector(parts["test"]["F05"]).view(ROWS, DIM)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    del parts[ENROLMENT]["F00"], parts[ENROLMENT]["F01"]
    other = brain_of(features, tmp_path / "b", standardise_by="enrolment")
    other.set_parts(parts)
    with pytest.raises(InputError, match="speaker F .* no enrolment"):
        other.vector(parts["test"]["F05"])


def test_what_is_fitted_is_kept(features, tmp_path, monkeypatch):
    """The same command again fits nothing; it predicts the same."""
    parts = parts_of(features)
    first = fitted(features, parts, tmp_path)
    expected = first.predict(first.datasets["test"])
    monkeypatch.setattr(probe.ProbeBrain, "fit_on", None)
    again = fitted(features, parts, tmp_path)
    assert again.load_selected() == 1
    found = again.predict(again.datasets["test"])
    for key, outputs in expected.items():
        assert torch.equal(outputs["posterior"], found[key]["posterior"])
        assert torch.equal(outputs["embedding"], found[key]["embedding"])
    assert again.history.notes["chosen"] == first.history.notes["chosen"]


def test_nothing_is_drawn(features, tmp_path):
    """Whatever the generators and the seed say: the same bits."""
    parts = parts_of(features)
    for folder, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(seed)
        np.random.seed(seed)
        fitted(features, parts, tmp_path / folder, seed=seed)
    assert same(saved(tmp_path / "a"), saved(tmp_path / "b"))
    assert probe.ProbeBrain.seedless


@pytest.mark.parametrize(
    "settings, size",
    [
        ({"layer": 2}, DIM),
        ({"layer": [0, -2]}, 2 * DIM),
        ({"layer": TOLD, "deviations": True}, 2 * DIM),
    ],
)
def test_layers_and_deviations(settings, size, features, tmp_path):
    """Those that are named are read, side by side."""
    parts = parts_of(features)
    brain = fitted(features, parts, tmp_path, **settings)
    layers = settings["layer"]
    layers = layers if isinstance(layers, list) else [layers]
    state = saved(tmp_path)
    assert state["rows"].tolist() == [row % ROWS for row in layers]
    assert state["linear.weight"].shape == (4, size)
    trained = parts["train"] | parts["valid"]
    dim = 2 * DIM if "deviations" in settings else DIM
    x = [vectors_of(features, trained, row, dim)[0] for row in layers]
    x = np.concatenate(x, axis=1)
    assert np.allclose(state["standardise.mean"], x.mean(0), rtol=1e-5)
    assert np.allclose(state["standardise.std"], x.std(0), rtol=1e-4)
    found = brain.predict(brain.datasets["test"])
    assert found["F00"]["embedding"].shape == (size,)


def test_class_weights_are_scikit_learns(features, tmp_path):
    """Balanced: another fit, that of scikit-learn's word."""
    parts = parts_of(features)
    for key in list(parts["train"]):
        if parts["train"][key]["emotion"] == "sadness" and key[0] != "A":
            del parts["train"][key]
    settings = {"layer": TOLD, "penalties": [1.0]}
    brain = fitted(
        features, parts, tmp_path, class_weights="balanced", **settings
    )
    trained = parts["train"] | parts["valid"]
    x, y, _ = vectors_of(features, trained)
    line = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=1.0, class_weight="balanced", max_iter=5000),
    ).fit(x, y)
    expected = line.decision_function(vectors_of(features, parts["test"])[0])
    found = logits_of(brain, brain.datasets["test"])
    assert np.abs(found - expected).max() < 1e-5


def test_the_report(features, tmp_path):
    """As of any method; it says what was chosen, and on whom."""
    import json

    parts = parts_of(features)
    brain = fitted(features, parts, tmp_path)
    ProbeReport(brain, str(tmp_path)).write({"method": "reference"}, "probe")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["selected_epoch"] == 1
    assert metrics["chosen"]["layers"] == [TOLD]
    assert metrics["chosen"]["trained_on"] == ["train", "valid"]
    assert metrics["metrics"]["test"]["UA"] > 0.5
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(map(len, parts.values()))
    row = (tmp_path / "curves.csv").read_text().splitlines()[1].split(",")
    assert row[0] == "1" and row[2] == str(TOLD) and float(row[1]) < np.log(4)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"layer": 3}, "--layer is 3, and the features have layers 0 to 2"),
        ({"layer": [0, -4]}, "layers 0 to 2"),
        ({"layer": []}, "layer is"),
        ({"layer": [1, 1]}, "layer is"),
        ({"layer": "all"}, "give 3, or"),
        ({"penalties": []}, "at least 1"),
        ({"penalties": [0]}, "above 0"),
        ({"groups": 1}, "groups"),
        ({"classifier": "tree"}, "logistic, svm"),
        ({"standardise_by": "sex"}, "train, speaker, enrolment"),
    ],
)
def test_bad_settings(settings, said, features, tmp_path):
    """One sentence each."""
    with pytest.raises(InputError, match=said):
        brain_of(features, tmp_path, **settings)


def test_it_chooses_on_speakers_alone():
    """Without two of them, only what is given is fitted."""
    many = {"layer": None, "penalties": [1.0]}
    fixed = {"layer": 3, "penalties": [1.0]}
    check = probe.ProbeBrain.check_parts
    two = {str(i): {"speaker": i} for i in range(2)}
    check({"train": two}, many)
    check({"train": {"a": two["0"]}, "valid": {"b": two["1"]}}, many)
    for train, said in (
        ({"a": {"speaker": "A"}}, "there is one alone"),
        (two | {"a": {}}, "has no speaker"),
    ):
        with pytest.raises(InputError, match=f"{said}.*give one --layer"):
            check({"train": train}, many)
        with pytest.raises(InputError, match=said):
            check({"train": train}, fixed | {"penalties": [0.1, 1.0]})
        check({"train": train}, fixed)


def test_a_class_that_a_group_lacks():
    """It is held for all but impossible there, which is a number."""
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 10 + [2] * 5)
    groups = np.array([0, 0, 1, 1] * 5 + [2] * 5)
    x = rng.normal(size=(25, 3))
    for kind in probe_choice.CLASSIFIERS.values():
        _, _, judged = probe_choice.choose(
            {"x": x}, labels, groups, [1.0], kind
        )
        assert np.isfinite(judged["x"][1.0])


def test_channels_that_never_change():
    """They are left as they are, rounding or not."""
    x = np.full((30, 2), 0.1) * [1, 1e6]
    mean, std = probe_choice.statistics(x)
    assert np.allclose(mean, x[0]) and (std == 1).all()


def test_its_report_has_the_temperature_of_held_out_speakers(
    features, tmp_path
):
    """Kept in the checkpoint; the valid part, which trains, has no say."""
    parts = parts_of(features)
    brain = fitted(features, parts, tmp_path)
    kept = brain.history.notes["calibration"]
    assert kept["fitted_on"] == "held-out speakers"
    assert kept["n"] == len(parts["train"]) + len(parts["valid"])
    assert kept["speakers"] == 5
    again = brain_of(features, tmp_path)
    again.load_selected()
    report = ProbeReport(again, str(tmp_path))
    assert report.fit_temperature({"valid": {}}) == kept
    del again.history.notes["calibration"]
    assert report.fit_temperature({})["temperature"] is None
