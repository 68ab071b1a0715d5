"""``python -m examples.process_control``: the demonstration of `examples.process_control.run`."""

import sys

from examples.process_control.run import main

if __name__ == "__main__":
    sys.exit(main())
