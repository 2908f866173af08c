#!/usr/bin/env bash
# Tables 8-12, Appendix D and the twins at matched bits: trained by the paper's recipe, scored, and put side by side. q2d2/presets.py says which is which.
# $1: training data, $2: a folder of speech to score them on, $3: the folder for the models, rows and tables, $4: steps for each (the paper: 443475 at batch 32).
# What follows goes to the command: --miniature tries it out. Started again after a kill it goes on where it was.
set -euo pipefail
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} q2d2 ablate --tables 8 9 10 11 12 appendix-d --seeds 0 --data "$1" --validate "$2" --out "$3" --steps "$4" \
  --batch "${BATCH:-32}" --jobs "${JOBS:-1}" "${@:5}"
