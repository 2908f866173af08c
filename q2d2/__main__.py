"""`python -m q2d2` is the command `q2d2`."""

import sys

from q2d2.cli import main

sys.exit(main())
