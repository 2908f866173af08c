#!/usr/bin/env bash
# Every metric of a model at its rates, beside Opus and Codec2 at the nearest bitrates, and the use of its tokens. $1: the model's folder, $2: the development set
# (40 clips, 4 minutes), $3: the folder for the rows and tables. Needs the extra `evaluate`, scripts/install_metrics, and opus-tools and codec2 for the peers.
set -euo pipefail
OMP_NUM_THREADS=1 q2d2 evaluate --model "$1" --data "$2" --out "$3" --peers opus-6 opus-8 codec2-1200 codec2-3200 --jobs "${JOBS:-2}" "${@:4}"
