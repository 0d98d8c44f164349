#!/usr/bin/env bash
# SpeechBrain's own checks of what we would carry upstream.
#
# > tools/check_speechbrain.sh CHECKOUT [WORD]
#
# CHECKOUT is a clone of SpeechBrain. It is copied; our package, recipes (as git
# knows them) and rows are laid into the copy, and everything runs there, on the
# checkout's own speechbrain, with $PYTHON (default: python). WORD: only the rows
# whose hparams file has it in its name, nothing else. Needs pytest; linters are
# run where they are installed. Left out: what needs a network (HF_repo, URLs).
set -euo pipefail

if [ $# -lt 1 ] || [ ! -d "$1/tests/consistency" ]; then
    echo "usage: $0 CHECKOUT_OF_SPEECHBRAIN [WORD]" >&2
    exit 2
fi
checkout=$(cd "$1" && pwd)
word=${2:-}
ours=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "${PYTHON:-python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/speechbrain
log=$work/results
: >"$log"
mkdir "$stage" "$work/bin"

# The recipe tests call "python" with a PYTHONPATH of their own.
cat >"$work/bin/python" <<END
#!/bin/sh
PYTHONPATH="\${PYTHONPATH:+\$PYTHONPATH:}$stage" exec "$python" "\$@"
END
chmod +x "$work/bin/python"
export PATH="$work/bin:$PATH" PYTHONDONTWRITEBYTECODE=1
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
unset PYTHONPATH

# Says whether a command, the rest of the arguments, passed.
step() {
    local name=$1 out=$work/out since=$SECONDS
    shift
    if "$@" >"$out" 2>&1; then
        echo "PASSED $name ($((SECONDS - since)) s)" | tee -a "$log"
    else
        echo "FAILED $name ($((SECONDS - since)) s)" | tee -a "$log"
        grep -v '^Checking ' "$out" | tail -n 40 | sed 's/^/    /'
    fi
}

# The same for a linter that may be missing.
lint() {
    if command -v "$2" >/dev/null; then
        step "$@"
    else
        echo "left out: $1, as there is no $2"
    fi
}

lay_in() {
    tar -C "$checkout" --exclude=./.git --exclude=./docs --exclude=./results \
        -cf - . | tar -C "$stage" -xf -
    tar -C "$ours" --exclude=__pycache__ --exclude=results \
        -cf - speechbrain_ser | tar -C "$stage" -xf -
    cp "$ours/conftest.py" "$stage/speechbrain_ser/"  # fixtures of doctests
    local corpus name csv
    for csv in "$ours"/tests/recipes/*.csv; do
        name=$(basename "$csv")
        corpus=${name%.csv}
        if [ -e "$stage/tests/recipes/$name" ]; then
            tail -n +2 "$csv" >>"$stage/tests/recipes/$name"
        else
            cp "$csv" "$stage/tests/recipes/$name"
        fi
        (cd "$ours/recipes/$corpus" && git ls-files) | while read -r file; do
            local to=$stage/recipes/$corpus/$file
            mkdir -p "$(dirname "$to")"
            if [ -e "$to" ] && [ "$(basename "$to")" != README.md ]; then
                echo "recipes/$corpus/$file is SpeechBrain's too" >&2
                exit 1
            fi
            # a README that is there gets ours below its own
            cat "$ours/recipes/$corpus/$file" >>"$to"
        done
    done
    cp -r "$ours"/tests/recipes/setup/. "$stage/tests/recipes/setup/"
    mkdir -p "$stage/tests/tmp"
}

consistency() {
    local out=$work/consistency
    python -m pytest -q -rA -p no:cacheprovider tests/consistency \
        --ignore=tests/consistency/test_HF_repo.py >"$out" 2>&1 || true
    grep -E '^(PASSED|FAILED|ERROR) ' "$out" | sed 's/^ERROR/FAILED/' |
        tee -a "$log"
    if ! grep -q '^PASSED ' "$out" || grep -qE '^(FAILED|ERROR) ' "$out"; then
        grep -E 'ERROR|Error|^E ' "$out" | tail -n 40 | sed 's/^/    /'
    fi
    grep -qE '^(PASSED|FAILED|ERROR) ' "$out" ||
        echo "FAILED tests/consistency does not run" | tee -a "$log"
}

rows() {
    python - "$word" "$ours"/tests/recipes/*.csv <<'END' | tee -a "$log"
import csv
import logging
import os
import pathlib
import sys
import time

from tests.utils.recipe_tests import run_recipe_tests

logging.disable(logging.INFO)  # each row that is skipped
word, *files = sys.argv[1:]
for path in map(pathlib.Path, files):
    for row in csv.DictReader(path.open(encoding="utf-8")):
        hparams = row["Hparam_file"]
        if word not in hparams:
            continue
        start = time.time()
        passed = row["test_debug_checks"] and run_recipe_tests(
            filters_fields=["Hparam_file"], filters=[hparams]
        )
        verdict = "PASSED" if passed else "FAILED"
        print(f"{verdict} {hparams} ({time.time() - start:.0f} s)", flush=True)
        made = max(
            pathlib.Path("tests/tmp").glob(f"{path.stem}_row_*"),
            key=os.path.getmtime,
            default=None,
        )
        if not passed and made is not None:
            for name in ("stdout.txt", "stderr.txt"):
                text = (made / name).read_text().splitlines()[-20:]
                print("\n".join(f"    {line}" for line in text), flush=True)
END
}

lay_in
cd "$stage"
said=$(python -c 'import speechbrain as s, speechbrain_ser as o, torch
print(s.__file__, o.__file__, "torch", torch.__version__)')
echo "SpeechBrain $(cat speechbrain/version.txt)," \
    "$(git -C "$checkout" log -1 --format='commit %h of %cs' 2>/dev/null ||
        echo 'no commit'); ${said//$stage/stage}"
if [ -z "$word" ]; then
    echo "left out: tests/consistency/test_HF_repo.py and URLs: a network"
    mapfile -t code < <(cd "$ours" && git ls-files 'recipes/*.py')
    mapfile -t yaml < <(cd "$ours" && git ls-files 'recipes/*.yaml')
    consistency
    step "docstrings of speechbrain_ser, recipes" python -c '
import sys
from tests.utils.check_docstrings import check_docstrings
sys.exit(not check_docstrings(".", sys.argv[1:]))' \
        speechbrain_ser/ "${code[@]}"
    step "doctests of speechbrain_ser" python -m pytest -q \
        -p no:cacheprovider --doctest-modules speechbrain_ser
    lint "ruff check" ruff check -q --no-cache speechbrain_ser "${code[@]}"
    lint "ruff format" ruff format -q --no-cache --check speechbrain_ser \
        "${code[@]}"
    lint "yamllint" yamllint "${yaml[@]}"
    lint "codespell" codespell --ignore-words=.dict-speechbrain.txt \
        speechbrain_ser "${code[@]}" "${yaml[@]}"
fi
rows
passed=$(grep -c '^PASSED ' "$log" || true)
failed=$(grep -c '^FAILED ' "$log" || true)
echo "$passed passed, $failed failed, $SECONDS s"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
