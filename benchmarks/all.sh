#!/usr/bin/env bash
# All benchmarks at small sizes, and one table of them.
#   benchmarks/all.sh [cuda] [--out TABLE.md] [--minutes 8.5]
# PYTHON names the Python; default: the one of the path.
set -euo pipefail
cd "$(dirname "$0")/.."
device=cpu
if [ "${1:-}" = cuda ]; then
    device=cuda
    shift
fi
exec "${PYTHON:-python}" benchmarks/summary.py --device "$device" "$@"
