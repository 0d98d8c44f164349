"""A model card: for people, what a model folder holds and what it is worth."""

import textwrap

# The licence of corpora that this project reads; what is not here is not known.
LICENCES = {
    "EMO-DB": "CC0 1.0",
    "RAVDESS": "CC BY-NC-SA 4.0: no commercial use, and of this model neither",
    "nEMO": "CC BY-NC-SA 4.0: no commercial use, and of this model neither",
}
LIMITS = (
    "It says how an utterance sounds to somebody who labels as the annotators "
    "of this corpus did. It does not know what a person feels. In other "
    "languages, rooms and ages, and of spontaneous speech, it is worse than the "
    "numbers above: measure it there, with `ser-evaluate`."
)
ASK = "not known here: see the corpus's own licence before you pass this on"


def model_card(config, figures=()):
    """Writes a model card in Markdown.

    Arguments
    ---------
    config : dict
        See `export.config_of`.
    figures : iterable of str
        Names of pictures that lie beside it.

    Returns
    -------
    str
    """
    card = config["card"]
    lines = [f"# {config['name']}", ""]
    lines += [*about(config), "", "## Use", ""]
    lines += use(config)
    lines += ["", "## Trained on", "", *data(card)]
    lines += ["", "## What it is worth", "", *scores(config)]
    lines += ["", "## Limits", "", *wrapped(LIMITS), ""]
    for name in figures:
        lines += [f"![{name}]({name})", ""]
    return "\n".join(lines)


def wrapped(text):
    """Returns a paragraph as lines that are not too long."""
    return textwrap.wrap(text, 118, break_on_hyphens=False)


def about(config):
    """Says in a paragraph what the model is."""
    card, encoder = config["card"], config["encoder"]
    text = (
        f"Speech emotion recognition by {card.get('method', 'a model')} "
        f"(speechbrain_ser), classes {', '.join(config['labels'])}; takes "
        f"{config['sample_rate']} Hz, other rates are resampled."
    )
    if encoder is not None:
        place = (
            "a copy of it is in `encoder/`"
            if encoder["copied"]
            else "it is not in this folder"
        )
        text += f" Pre-trained encoder: {encoder['name']}; {place}."
    return wrapped(text)


def use(config):
    """Says what to type."""
    encoder = config["encoder"]
    more = ""
    if encoder is not None and not encoder["copied"]:
        more = " --encoder_folder COPY_OF_THE_ENCODER"
    return [
        "```bash",
        f"ser-label recordings/ --model THIS_FOLDER{more} --csv out.csv",
        f"ser-evaluate THIS_FOLDER{more} --manifest labelled.csv",
        "```",
        "",
        *wrapped(
            "In Python `EmotionRecognizer.from_folder(...)`. SpeechBrain's "
            "`from_hparams` works too, and runs what stands in "
            "`hyperparams.yaml`: use it with folders of those whom you trust."
        ),
    ]


def data(card):
    """Says what was trained on, and by which protocol."""
    corpus = card.get("corpus")
    if corpus == "mini":
        corpus = "the mini corpus: synthetic voices, which are nobody's"
    rows = [
        ("corpus", corpus),
        ("licence of the corpus", LICENCES.get(corpus, ASK)),
        ("languages", ", ".join(card.get("languages") or []) or None),
        ("speakers", card.get("speakers")),
        ("hours", card.get("hours")),
        ("rates (Hz)", ", ".join(map(str, card.get("sample_rates") or []))),
        ("protocol", card.get("protocol")),
        ("fold", card.get("fold")),
        ("seed", card.get("seed")),
        ("settings", card.get("hparams")),
        ("system", card.get("system")),
        ("utterances of each part", card.get("sizes")),
        ("what is tested was seen, without labels", card.get("transductive")),
        ("speech is standardised by", card.get("standardise_by")),
    ]
    told = [
        f"| {name} | {said(value)} |"
        for name, value in rows
        if value not in (None, "")
    ]
    return ["| | |", "|---|---|", *told]


def said(value):
    """Writes a fact."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return str(value)


def scores(config):
    """Writes the scores, and how far the posteriors can be trusted."""
    card = config["card"]
    lines = [
        "| part | utterances | UA (%) | 95 % interval | WA (%) | calibration "
        "error (%) |",
        "|---|---|---|---|---|---|",
    ]
    for part, found in card.get("scores", {}).items():
        ends = (found.get("interval") or {}).get("UA")
        between = (
            "" if not ends else " to ".join(f"{100 * e:.1f}" for e in ends)
        )
        error = error_of(card, part, found)
        lines.append(
            f"| {part} | {found['n']} | {100 * found['UA']:.1f} | {between} | "
            f"{100 * found['WA']:.1f} | "
            f"{'' if error is None else f'{100 * error:.1f}'} |"
        )
    chance = 100 / len(config["labels"])
    lines += ["", f"UA is the mean recall of the classes; chance {chance:.0f}."]
    if config["temperature"] is None:
        lines.append(
            "No temperature was fitted: posteriors are what the model gives."
        )
    else:
        lines.append(
            f"Posteriors have the temperature {config['temperature']:.3g}, "
            f"fitted on {(card.get('calibration') or {}).get('fitted_on')}."
        )
    return lines


def error_of(card, part, found):
    """Returns a part's calibration error with the temperature, or None."""
    if "ECE" in found:
        return found["ECE"]
    parts = (card.get("calibration") or {}).get("parts") or {}
    told = parts.get(part) or {}
    return (told.get("tempered") or told.get("raw") or {}).get("ECE")
