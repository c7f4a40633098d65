"""Imports of TensorFlow by commands and by other programs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("is_command", [True, False])
def test_commands_import_keras_without_its_optional_libraries(is_command):
    """Other programs may need the parts of Keras that use them."""
    code = (
        "import gc, sys\n"
        "from avel_tf.utils import lazy_imports\n"
        f"lazy_imports.is_command = {is_command}\n"
        "lazy_imports.load_tensorflow()\n"
        "assert gc.isenabled()\n"
        f"assert ('sklearn' in sys.modules) is not {is_command}\n"
        "import sklearn, matplotlib, keras.wrappers\n"
        "assert sklearn.__version__ and matplotlib.__version__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_line_is_a_command():
    code = (
        "from avel_tf.cli.main import main\n"
        "from avel_tf.utils import lazy_imports\n"
        "main(['--version'])\n"
        "assert lazy_imports.is_command\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
