"""`make conformance`; names of vendors as arguments for a part of it."""

import sys

from tests.conformance.runner.run import main

if __name__ == "__main__":
    sys.exit(main())
