"""Entry point of `python -m avel_tf.cli`, the same as `avel`."""

from __future__ import annotations

import sys

from avel_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
