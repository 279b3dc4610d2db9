"""`python -m evomerge`, the same as the command `evomerge`."""

import sys

from evomerge.cli import main

sys.exit(main())
