"""`python -m hostler` is the command `hostler`."""

import sys

from hostler.cli import main

if __name__ == "__main__":
    # Python puts the current directory first, which the command `hostler` has not: a json.py that an application
    # leaves there would run as the arbiter's user. Workers add the directory themselves.
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.exit(main())
