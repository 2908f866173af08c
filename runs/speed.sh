#!/usr/bin/env bash
# Speed, memory and arithmetic of `speech` and `paper-1k` beside other projects' networks with random weights, on one thread. $1: the folder for the rows, tables and picture.
# Needs the extra `peers`, and for DAC what its footnote says. Nothing else should run; about four minutes.
set -euo pipefail
q2d2 benchmark --presets speech paper-1k --peers encodec dac snac --durations-s 1 5 --ways clip --repeats 2 --out "$1" "${@:2}"
