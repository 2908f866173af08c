"""What came back from a rented GPU: `python collect.py BACK DEV OUT` joins and checks it, and measures the model.

BACK is the folder that came back, with `save-N/part.*`; the newest save that is whole becomes the run OUT (`model/`,
`discriminators.safetensors`, `log.jsonl`), from which `q2d2 train --from OUT` goes on. It is measured as the trainer
does, on clips of the folder DEV, beside the model that it started from.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import tarfile
from pathlib import Path

from q2d2 import checkpoint
from q2d2.train.data import validation_clips
from q2d2.train.validation import validate

SUMS = "SHA256SUMS"


def join(back: Path, out: Path) -> Path:
    """Unpack the newest whole save into `out`; the folder that it was in."""
    saves = sorted(back.glob("**/save-*"), key=lambda folder: -int(folder.name.removeprefix("save-")))
    for save in saves:
        try:
            packed = b"".join(part.read_bytes() for part in sorted(save.glob("part.*")))
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                files = {
                    member.name.removeprefix("./"): archive.extractfile(member).read()  # type: ignore[union-attr]
                    for member in archive
                    if member.isfile()
                }
            listed = {line[68:]: line[:64] for line in files.pop(SUMS).decode().splitlines()}  # "hash  ./name"
            if listed != {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}:
                raise ValueError("hashes differ")
        except (tarfile.TarError, KeyError, ValueError) as error:
            print(f"{save}: is not whole ({error})", file=sys.stderr)
            continue
        for name, data in files.items():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{save}: {name} lies outside of the run")
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(data)
        return save
    sys.exit(f"{back}: no whole save is here")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("back", type=Path, help="the folder that came back")
    parser.add_argument("dev", type=Path, help="a folder of audio to measure on")
    parser.add_argument("out", type=Path, help="a new folder for the run")
    parser.add_argument("--start", default="speech", help="the model to compare with")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    save = join(arguments.back, arguments.out)
    print(f"{save} is whole: {arguments.out}")
    for log in arguments.back.glob("**/log.jsonl"):  # it goes on after the last save
        shutil.copy(log, arguments.out)
    columns = {}
    for name, model in (("before", arguments.start), ("after", arguments.out / "model")):
        codec = checkpoint.load(model)
        clips = validation_clips(arguments.dev, codec.config.sample_rate_hz, codec.hop)
        columns[f"{name} ({codec.weights})"] = validate(codec, clips).means
    names = list(dict.fromkeys(name for means in columns.values() for name in means))
    print(f"| {len(clips)} clips | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for name in names:
        print(f"| {name} | " + " | ".join(f"{means.get(name, float('nan')):.4f}" for means in columns.values()) + " |")


if __name__ == "__main__":
    main()
