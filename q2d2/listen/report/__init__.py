"""What listeners said, read back: screening, statistics, the paper's Tables 5 and 6, plots. Knows no servers.

Reads the frame of `q2d2.listen.store.export`, and neither a database nor audio. Needs the extra `listen`.
"""

from q2d2.listen.report.descriptions import Described, read_descriptions
from q2d2.listen.report.results import Results, analyse
from q2d2.listen.report.run import Rated, Report, report

__all__ = ["Described", "Rated", "Report", "Results", "analyse", "read_descriptions", "report"]
