"""To and from webMUSHRA: its configurations become studies, and ratings the files that it writes."""

from q2d2.listen.webmushra.results import write_results
from q2d2.listen.webmushra.studies import import_study

__all__ = ["import_study", "write_results"]
