#!/usr/bin/env bash
# The training itself on a rented GPU, after check.py: train.sh WORK OUT MINUTES [options of q2d2 train]
# WORK holds corpus-1, corpus-2 (if it came) and verdict.json. OUT receives, every minute, the run's last save as save-N/part.*: a tar of the model, the
# discriminators and the log, in parts of 15 MiB (collect.py joins them); the newest two stay, so one is whole whenever this is killed. Minutes count from here.
# If the trainer fails, the minutes that are left go on from its last save without compiling; the exit status is that of the last trainer.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$1 out=$2 ends=$((SECONDS + $(printf '%.0f' "$(python3 -c "print(60 * $3)")")))
shift 3
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1
mkdir -p "$out"

# One corpus of the halves that are here; how often to draw its sources, and the verdict's options, a word a line.
python3 - "$work" << 'PY'
import json, sys
from pathlib import Path

work = Path(sys.argv[1])
halves = sorted(work.glob("corpus-*/index.json"))
parts = [part | {"file": f"{half.parent.name}/{part['file']}"} for half in halves for part in json.loads(half.read_bytes())]
(work / "index.json").write_text(json.dumps(parts))
verdict = work / "verdict.json"
options = json.loads(verdict.read_bytes())["options"] if verdict.is_file() else []
(work / "options").write_text("\n".join(options or ["--batch", "64", "--compile", "off"]) + "\n")
often = {"librispeech": 3.5, "speech_to_intent": 2.5, "kokoro": 2.0}
here = {part["source"] for part in parts}
(work / "weights").write_text("".join(f"{name}\n{weight}\n" for name, weight in often.items() if name in here))
PY
mapfile -t options < "$work/options"
mapfile -t weights < "$work/weights"
if [ ${#weights[@]} -gt 0 ]; then weights=(--source-weights "${weights[@]}"); fi

saves=0
bring() { # $1: a run. Its save, if there is a new one, goes to OUT.
  local run=$1 packed=$work/packed
  local model=$run/model/model.safetensors next=$((saves + 1))
  cp "$run/log.jsonl" "$out/" 2> /dev/null || true
  if [ ! "$model" -nt "$work/brought" ]; then return 0; fi
  # in one chain: where a function's failure is looked at, it does not end at its first failing command
  rm -rf "$packed" && mkdir -p "$packed/save/model" "$packed/parts" &&
    cp -p "$run/model/config.json" "$model" "$packed/save/model/" &&
    find "$run" -maxdepth 1 \( -name config.json -o -name log.jsonl -o -name discriminators.safetensors \) -exec cp {} "$packed/save/" \; &&
    (cd "$packed/save" && find . -type f -exec sha256sum {} + > ../SHA256SUMS && mv ../SHA256SUMS .) &&
    tar -C "$packed/save" -cf - . | split -b 15m - "$packed/parts/part." &&
    mv "$packed/parts" "$out/save-$next" &&
    touch -r "$packed/save/model/model.safetensors" "$work/brought" && saves=$next && rm -rf "$out/save-$((next - 2))"
}

train() { # $1: where from, $2: the run; further options after these
  local start=$1 run=$2 left=$((ends - SECONDS)) trainer
  shift 2
  timeout -k 5 $((left + ${GRACE_S:-30})) python3 -m q2d2 train --from "$start" --data "$work" --out "$run" --minutes "$(python3 -c "print($left / 60)")" \
    --cache "$work/cache" --workers "${WORKERS:-12}" --learning-rate 1e-3 --save-minutes 1 --validate "$work/validate" --adversarial-from 0 --decay-from 0.3 \
    "${weights[@]}" "$@" > >(tee -a "$out/console.txt") 2>&1 &
  trainer=$!
  while kill -0 "$trainer" 2> /dev/null; do
    sleep 2
    bring "$run" || echo "a save could not be brought to $out" >&2
  done
  wait "$trainer"
}

touch -d @0 "$work/brought"
start=${START:-$here/q2d2/models/speech} status=0
train "$start" "$work/run" "${options[@]}" "$@" || status=$?
bring "$work/run"
if [ "$status" != 0 ] && [ $((ends - SECONDS)) -gt 45 ]; then
  echo "the trainer ended with $status; what is left of the time goes on without compiling" | tee -a "$out/console.txt"
  [ ! -d "$work/run/model" ] || start=$work/run
  status=0
  train "$start" "$work/run-2" --batch 64 "$@" --compile off || status=$?
  bring "$work/run-2"
fi
exit "$status"
