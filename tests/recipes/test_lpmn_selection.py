"""What LPMN's report makes of a finished run: prototypes, mappings."""

import os
import re
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.files import safe_name
from tests.recipes.helpers import (
    LPMN,
    PARTS,
    check_sentence,
    figures,
    own,
    results,
    table,
    weights,
)
from tests.recipes.lpmn_runs import (
    FOUR,
    LOGMEL,
    QUICK,
    SMALL,
    check_prototypes,
    posteriors,
    reload,
    run,
    write_parts,
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    folder = tmp_path_factory.mktemp("ready")
    return write_parts(folder, mini_folder, mini_mer2023_folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ready):
    """A finished run; K' of all, half and a quarter of 16 prototypes."""
    settings = QUICK | {"n_selected": "16,8,4", "tau": 0.3}
    settings |= {"output_folder": tmp_path_factory.mktemp("finished")}
    arguments = own(ready / "IEMOCAP")
    assert run(LPMN, LOGMEL, *arguments, **settings) is None
    return settings, arguments


def test_all_prototypes_selected_is_the_probe_on_all(finished):
    """K' = K, by importance and at random: the same predictions."""
    folder = finished[0]["output_folder"]
    every = posteriors(folder, "test_all")
    for part in ("test_16", "test_random_16"):
        found = posteriors(folder, part)
        assert found.keys() == every.keys()
        for key, posterior in every.items():
            assert found[key] == pytest.approx(posterior, abs=2e-3)
            assert np.argmax(found[key]) == np.argmax(posterior)
    fewer = posteriors(folder, "test_8")
    assert any(
        fewer[key] != pytest.approx(posterior, abs=0.02)
        for key, posterior in every.items()
    )


def test_selected_are_the_most_important(finished):
    """prototypes.csv; the random sets are others, and drawn once for all."""
    settings, _ = finished
    folder = settings["output_folder"]
    rows = table(folder / "prototypes.csv")
    check_prototypes(rows, weights(folder), (16, 8, 4))
    order = [int(row["prototype"]) for row in rows]
    kept = [reload(settings).kept for _ in range(2)]
    for size in (8, 4):
        assert kept[0][str(size)].tolist() == order[:size]
        random = kept[0][f"random_{size}"].tolist()
        assert len(set(random)) == size
        assert set(random) != set(order[:size])
        assert random == kept[1][f"random_{size}"].tolist()


def test_probe_by_hand(finished, ready):
    """Eq. 2 over the kept prototypes alone, utterance by utterance."""
    settings, _ = finished
    folder = settings["output_folder"]
    brain = reload(settings)
    brain.modules.eval()
    rows = table(folder / "prototypes.csv")
    kept = [int(row["prototype"]) for row in rows if row["kept_4"] == "1"]
    prototypes = weights(folder)["pooling.codebook.prototypes"][kept].double()
    prototypes /= prototypes.norm(dim=1, keepdim=True)
    features, truth = {}, {}
    for part in PARTS:
        path = ready / "IEMOCAP" / f"{part}.json"
        held = read_annotation(str(path))
        truth[part] = [entry["emotion"] for entry in held.values()]
        features[part] = []
        for entry in held.values():
            with torch.no_grad():
                frames, _ = brain.modules.encoder(
                    load_audio(entry)[None], torch.ones(1)
                )
                frames = brain.modules.norm(frames)[0].double()
            best = [0.0] * 4
            for frame in frames:
                cosine = prototypes @ (frame / frame.norm())
                odds = (cosine / 0.3).exp()
                for j, value in enumerate((odds / odds.sum()).tolist()):
                    best[j] = max(best[j], value)
            features[part].append(best)
    features = {part: np.array(rows) for part, rows in features.items()}
    mean, std = features["train"].mean(0), features["train"].std(0)
    scaled = {part: (rows - mean) / std for part, rows in features.items()}
    best = None
    for strength in (0.001, 0.01, 0.1, 1.0):
        model = LogisticRegression(C=strength, max_iter=2000)
        model.fit(scaled["train"], truth["train"])
        score = recall_score(
            truth["valid"],
            model.predict(scaled["valid"]),
            average="macro",
        )
        if best is None or score > best[0]:
            best = score, model
    places = [list(best[1].classes_).index(word) for word in FOUR]
    expected = best[1].predict_proba(scaled["test"])[:, places]
    found = list(posteriors(folder, "test_4").values())
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_finished_run_draws_without_training(finished, ready, tmp_path):
    """An utterance and a file; weights, key and numbers stay as they are."""
    settings, arguments = finished
    folder = settings["output_folder"]
    before, state = results(folder), weights(folder)
    digest = before[0].pop("report")
    key = next(iter(read_annotation(str(ready / "IEMOCAP" / "train.json"))))
    time_axis = np.arange(12000) / 16000
    sf.write(tmp_path / "a tone.wav", 0.3 * np.sin(2000 * time_axis), 16000)
    assert f"mapping_{key}" not in figures(folder)
    stamp = os.stat(folder / "curves.csv").st_mtime_ns
    for name in (key, tmp_path / "a tone.wav"):
        more = settings | {"figure_utterances": name}
        assert run(LPMN, LOGMEL, *arguments, **more) is None
    assert {f"mapping_{key}", safe_name("mapping_a tone")} <= figures(folder)
    assert os.stat(folder / "curves.csv").st_mtime_ns == stamp
    after = results(folder)
    assert after[0].pop("report") != digest  # other figures
    assert after == before
    held = weights(folder)
    assert all(torch.equal(value, held[name]) for name, value in state.items())


def test_other_numbers_are_selected_without_training(finished, ready, tmp_path):
    """Another K' is another report of the same run, as if asked for at once."""
    settings, arguments = finished
    for path in ("save", "settings.json", "curves.csv"):
        held = settings["output_folder"] / path
        copy = shutil.copytree if held.is_dir() else shutil.copy
        copy(held, tmp_path / path)
    more = settings | {"n_selected": 8, "output_folder": tmp_path}
    state = weights(tmp_path)
    assert run(LPMN, LOGMEL, *arguments, **more) is None
    (before, _, _), (after, _, _) = map(
        results, (settings["output_folder"], tmp_path)
    )
    assert before["run"] == after["run"]
    assert before["report"] != after["report"]
    assert set(after["metrics"]) == {
        *PARTS,
        *(f"test_{name}" for name in ("all", "8", "random_8")),
    }
    for name in ("test", "test_all", "test_8"):
        assert after["metrics"][name] == before["metrics"][name], name
    held = weights(tmp_path)
    assert all(torch.equal(value, held[name]) for name, value in state.items())


@pytest.mark.parametrize("name", ["nobody", "5", "{tmp}", "{tmp}/text.wav"])
def test_nobody_is_drawn_before_training(name, ready, tmp_path):
    """An unknown utterance, a number, a folder, a file without sound."""
    (tmp_path / "text.wav").write_text("no sound")
    name = name.format(tmp=tmp_path)
    settings = SMALL | {
        "figure_utterances": name,
        "output_folder": tmp_path / "out",
    }
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    check_sentence(error, re.escape(name))
    assert not (tmp_path / "out").exists()
