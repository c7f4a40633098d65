"""Reference page of the commands, generated from their parsers.

`python -m avel_tf.cli.reference > docs/reference/cli.md`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from avel_tf.cli.main import COMMANDS, command_parser

_HEAD = """\
# Command line

```
avel COMMAND ...
```

| exit status | meaning |
|---|---|
| 0 | success |
| 1 | usage or configuration error, or nothing could be done |
| 2 | finished, but some files are partial or quarantined; `audit`: the data set has errors |
| 130 | interrupted |

Every command has `--help` and `--verbose` (print more, and a traceback with errors).

This page is generated: `python -m avel_tf.cli.reference > docs/reference/cli.md`.
"""


def reference() -> str:
    """Generates docs/reference/cli.md, a table of the arguments of each command."""
    return _HEAD + "".join(_command(name) for name in COMMANDS)


def _command(name: str) -> str:
    rows = "".join(_rows(command_parser(name)))
    return (
        f"\n## avel {name}\n\n{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}.\n\n"
        f"| argument | description |\n|---|---|\n{rows}"
    )


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if {"--help", "--verbose"} & {*action.option_strings}:
            continue
        value = action.metavar if action.nargs != 0 else None
        words = [*action.option_strings, *([str(value)] if value else [])]
        several = " ..." if action.nargs == "+" else ""
        argument = f"`{' '.join(words)}{several}`".replace("|", "\\|")
        required = " Required." if action.option_strings and action.required else ""
        yield f"| {argument} | {action.help}.{required} |\n"


if __name__ == "__main__":
    print(reference(), end="")
