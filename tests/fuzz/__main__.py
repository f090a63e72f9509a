"""The command line of the fuzzer."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `fuzz` and `draws` are

from fuzz.session import main

if __name__ == "__main__":
    sys.exit(main())
