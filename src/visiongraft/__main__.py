"""`python -m visiongraft` is `graft`, for those who start a program by its module, as torchrun does."""

import sys

from graft_command import main

if __name__ == "__main__":
    sys.exit(main())
