"""A tiny tree in IEMOCAP's layout, with the oddities of the release."""

import numpy as np
import soundfile

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"

# Utterance -> (code, annotators' lines).
UTTERANCES = {
    "Ses01F_impro01_F000": (
        "ang",
        [
            "C-E2:\tAnger;\t()",
            "C-E3:\tAnger; Frustration;\t(loud, almost shouting, angry)",
            "C-E4:\tAnger;\t()",
            "C-F1:\tSadness;\t()",
            "A-E3:\tval 2; act 4; dom  ;\t()",
            "A-E4:\tval 3; act 4;\t(no dom, it is missing)",
            "A-F1:\tval 3; act 2; dom  1;\t()",
        ],
    ),
    # The marker actress is F, the man speaks.
    "Ses01F_impro01_M000": (
        "exc",
        [
            "C-E2:\tExcited; Happiness;\t()",
            "C-E3:\tExcited;\t()",
            "C-E4:\tNeutral state;\t()",
            "C-M1:\tExcited;\t()",
            "A-E2:\tval 4; act 4; dom  3;\t()",
        ],
    ),
    "Ses01F_impro01_M001": (
        "xxx",
        ["C-E2:\tOther;\t()", "C-E3:\tFear; Surprise; Disgust;\t()"],
    ),
    "Ses01M_script01_1_F000": ("hap", ["C-E2:\tHappiness;\t()"]),
    "Ses02F_script01_1_M000": ("sad", ["C-E1:\tSadness;\t()"]),
    "Ses02F_script01_1_M001": ("fru", ["C-E1:\tFrustration;\t()"]),
    "Ses03M_impro05a_F003": ("neu", ["C-E4:\tNeutral;\t()"]),
    "Ses03M_impro05a_M000": ("sad", ["C-E4:\tSadness;\t()"]),
    "Ses05M_script01_1b_F003": ("neu", ["C-E4:\tNeutral;\t()"]),
}


def write_tree(root, utterances=UTTERANCES, audio=True):
    """Writes the tree below `root` and returns it."""
    blocks = {}
    for name, (code, lines) in utterances.items():
        session = root / f"Session{name[4]}"
        dialog = name.rsplit("_", 1)[0]
        blocks.setdefault((session, dialog), []).append(
            f"[6.2901 - 8.2357]\t{name}\t{code}\t[2.5000, 3.5000, 2.0000]\n"
            + "".join(line + "\n" for line in lines)
        )
        if audio:
            folder = session / "sentences" / "wav" / dialog
            folder.mkdir(parents=True, exist_ok=True)
            length = 800 + 10 * len(name)
            soundfile.write(folder / f"{name}.wav", np.full(length, 0.1), 16000)
            (folder / f"._{name}.wav").write_bytes(b"decoy")
    for (session, dialog), texts in blocks.items():
        folder = session / "dialog" / "EmoEvaluation"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{dialog}.txt"
        path.write_text(HEADER + "\n".join(texts) + "\n")
        (folder / f"._{dialog}.txt").write_bytes(b"\x00\x05\x16\x07 decoy")
        (folder / f"{dialog}.anvil").write_text("<annotation/>")
        for name, line in {
            "Categorical": f"{dialog}_F000 :Neutral state; ()\n",
            "Attribute": f"{dialog}_F000 :act 4; :val 3; :dom  2; ()\n",
            "Self-evaluation": f"{dialog}_F000 :Anger; ()\n",
        }.items():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{dialog}_e2.txt").write_text(line)
        transcriptions = session / "dialog" / "transcriptions"
        transcriptions.mkdir(exist_ok=True)
        (transcriptions / f"{dialog}.txt").write_text(
            f"{dialog}_F000 [006.2901-008.2357]: Excuse me.\n"
            f"{dialog}_FXX0 [008.2357-009.0000]: Yes.\n"
        )
    return root


def evaluation_file(root, dialog="Ses01F_impro01"):
    """The path of a dialog's labels."""
    session = root / f"Session{dialog[4]}"
    return session / "dialog" / "EmoEvaluation" / f"{dialog}.txt"
