#!/usr/bin/env bash
# Where the bits of a frame go: equal levels, graded ones, graded and refined ones at the same raw bits, and what files of those rates hold. Half-width networks, three rates.
# $1: the packed corpus, $2: the development set, $3: the folder for the models, rows and tables.
# `python runs/allocation.py CORPUS` found the grids of allocation-coded when `speech` had no high-pass, an early version of it those of allocation-refined; those of allocation-graded were made by hand.
set -euo pipefail
read -ra seeds <<< "${SEEDS:-0}"
OMP_NUM_THREADS=1 q2d2 ablate --tables allocations --seeds "${seeds[@]}" --steps "${STEPS:-800}" --discriminators none --data "$1" --validate "$2" --out "$3" --jobs "${JOBS:-2}"
