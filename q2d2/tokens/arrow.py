"""pyarrow, or what to do where it is not installed: the other modules of this package take it from here."""

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise ImportError(f"{error.name} is not installed: pip install 'q2d2[tokens]' brings it") from error

__all__ = ["pa", "pq"]
