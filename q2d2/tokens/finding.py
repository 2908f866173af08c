"""What kind of corpus a path is: told by suffixes, and refused where a folder holds several kinds."""

from __future__ import annotations

from pathlib import Path

from q2d2 import audio
from q2d2.console import UsageError
from q2d2.tokens.parquet import ParquetSource
from q2d2.tokens.sources import FolderSource, ManifestSource, Source, TokensError
from q2d2.tokens.tars import TarSource

_LISTS = (".jsonl", ".csv", ".tsv", ".txt")
_TABLES = (".parquet", ".tar")


def find_source(path: Path, id_column: str | None = None, audio_column: str | None = None) -> Source:
    """The corpus at `path`, under its absolute name; TokensError where there is none."""
    source = _source(path.absolute(), id_column, audio_column)
    if (id_column or audio_column) and not isinstance(source, ParquetSource):
        raise UsageError(f"{path}: is not Parquet: --id-column and --audio-column have no meaning there")
    return source


def _source(path: Path, id_column: str | None, audio_column: str | None) -> Source:
    if not path.exists():
        raise TokensError(f"{path}: there is no such file or folder")
    if path.is_file() and path.suffix.lower() in _LISTS:
        return ManifestSource(path)
    found = audio.list_audio(path, _TABLES) if path.is_dir() else [path]
    kinds = {suffix if (suffix := file.suffix.lower()) in _TABLES else "audio" for file in found}
    if len(kinds) > 1:
        names = " and ".join(sorted(kinds))
        raise TokensError(f"{path}: holds {names} files; give a folder for each kind, or a manifest")
    folder = path if path.is_dir() else path.parent
    files = tuple(file.relative_to(folder).as_posix() for file in found)
    match kinds.pop() if kinds else None:
        case ".parquet":
            return ParquetSource(folder, files, id_column, audio_column)
        case ".tar":
            return TarSource(folder, files)
        case "audio" if path.is_dir():
            return FolderSource(path)
        case None:
            raise TokensError(f"{path}: holds no audio, Parquet or tar files")
        case _:
            raise TokensError(f"{path}: give a folder of audio, a manifest ({' '.join(_LISTS)}), .parquet or .tar")
