"""The commands of `avel`, one file each: `add_arguments(parser)` and `run(options) -> exit code`.

The modules import nothing slow at their top, to keep `--help` fast.
"""
