"""What the tests of LPMN's recipes share: settings, annotations, a run."""

import pytest

from conftest import save_ssl_model
from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mer2023 import read_mer2023
from speechbrain_ser.corpora.protocols.iemocap import LEAVE_ONE_SESSION_OUT
from speechbrain_ser.corpora.protocols.mer2023 import FIVE_FOLD
from speechbrain_ser.experiment import hparams as recipe
from tests.recipes.helpers import LPMN, run_recipe, table, undrawn, words

SMALL = {
    "device": "cpu",
    "number_of_epochs": 2,
    "last_epochs": 1,
    "n_prototypes": 16,
    "n_selected": "8,4",
}
# of IEMOCAP's mini corpus: one figure of a mapping instead of four
QUICK = SMALL | {
    "n_selected": None,
    "figure_utterances": "Ses01F_impro01_F000",
}
LOGMEL, HUBERT = "hparams/lpmn_logmel.yaml", "hparams/lpmn.yaml"
FOUR = ["ang", "hap", "sad", "neu"]


def run(script, hparams, *arguments, **settings):
    """Runs a recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        line = words(hparams, **settings)
        return run_recipe(patch, *line, *arguments, script=script)


def write_parts(folder, mini_folder, mini_mer2023_folder, every=2):
    """Writes the annotations of both small mini corpora; returns the folder.

    Of IEMOCAP's only each so many-th utterance trains.
    """
    splits = {
        "IEMOCAP": LEAVE_ONE_SESSION_OUT.split(
            read_iemocap(str(mini_folder)), fold=1
        ),
        "MER2023": FIVE_FOLD.split(
            read_mer2023(str(mini_mer2023_folder)), fold=1
        ),
    }
    train = splits["IEMOCAP"]["train"]
    splits["IEMOCAP"]["train"] = dict(list(train.items())[::every])
    for corpus, parts in splits.items():
        for name, annotation in parts.items():
            path = folder / corpus / f"{name}.json"
            write_annotation(str(path), annotation)
    return folder


def hubert_settings(folder):
    """The recipe's settings for a tiny HuBERT of four blocks, three used."""
    model = folder / "hubert"
    model.mkdir(parents=True)
    return {
        "ssl_source": save_ssl_model(model, "hubert", "layer", layers=4),
        "n_blocks": 3,
        "frame_dim": 32,
        "batch_size": 8,
        "lr": 0.001,
        "num_workers": 0,
        "cache_folder": folder / "frames",
    }


def posteriors(folder, part, labels=FOUR):
    """Id to posterior of a part, as predictions.csv has it."""
    return {
        row["id"]: [float(row[f"posterior_{word}"]) for word in labels]
        for row in table(folder / "predictions.csv")
        if row["part"] == part
    }


def check_prototypes(rows, held, sizes):
    """prototypes.csv against the checkpoint's importance."""
    importance = held["importance.importance"].tolist()
    order = sorted(range(16), key=lambda j: (-importance[j], j))
    assert [int(row["prototype"]) for row in rows] == order
    assert [int(row["rank"]) for row in rows] == list(range(1, 17))
    for row, j in zip(rows, order):
        assert float(row["importance"]) == pytest.approx(importance[j])
        share = importance[j] / sum(importance)
        assert float(row["share"]) == pytest.approx(share, rel=1e-5)
        for size in sizes:
            assert row[f"kept_{size}"] == str(int(int(row["rank"]) <= size))
    assert importance[order[0]] > importance[order[-1]] > 0


def reload(settings):
    """The Brain of a finished run, with its selected weights."""
    overrides = {
        name: value if isinstance(value, (int, float)) else str(value)
        for name, value in settings.items()
        if name != "device"
    }
    hparams = recipe.load(
        str(LPMN.parent / LOGMEL), recipe.with_overrides("", **overrides)
    )
    brain = hparams["brain"](run_opts=RunOptions())
    hparams["report"](brain, hparams["output_folder"]).load_selected()
    return brain
