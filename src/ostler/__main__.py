"""`python -m ostler` is the command `ostler`."""

import sys

from ostler.cli import main

if __name__ == "__main__":
    sys.exit(main())
