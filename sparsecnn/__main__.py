"""``python -m sparsecnn`` is the command ``sparsecnn``."""

import sys

from .cli import main

sys.exit(main())
