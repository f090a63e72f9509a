"""The command line of the fuzzer."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "fixtures")]  # where `fuzz` and `draws` are

from fuzz.session import main

if __name__ == "__main__":
    sys.exit(main())
