"""``python -m minitower`` is the command ``minitower``."""

import sys

from minitower.cli import main

if __name__ == "__main__":
    sys.exit(main())
