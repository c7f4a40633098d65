"""The commands of `avel`, one file each: `add_arguments(parser)` and `run(options) -> exit code`.

A command's module imports nothing heavy when it is loaded, so that `--help` stays instant.
"""
