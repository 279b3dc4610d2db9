"""`python -m evomerge`, the same as the command `evomerge`."""

import os
import sys

FOLDER = os.path.dirname(os.path.realpath(__file__))

# Whoever starts this file by its path, as `evomerge compare` does, has our own folder in front of
# all others, where evomerge/config would stand for a module `config` of the user's.
if sys.path[0] == FOLDER:
    sys.path[0] = os.path.dirname(FOLDER)

from evomerge.cli import main  # noqa: E402

sys.exit(main())
