"""What listeners said, in a database: saved at once, kept through crashes and updates, exported as tables.

Any database that SQLAlchemy knows; SQLite in the study's folder unless somebody says otherwise.
"""

from q2d2.listen.store.opening import open_store
from q2d2.listen.store.ratings import ClosedError, Rater, Row, Score, Store, UnknownRaterError

__all__ = ["ClosedError", "Rater", "Row", "Score", "Store", "UnknownRaterError", "open_store"]
