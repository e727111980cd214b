"""setup.cfg says what the package is; here is only the code that is made of the protos while it is built."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithProtos(build_py):
    """Puts what packaging/protos makes into the package, not into the checkout: that is used with other versions."""

    def run(self) -> None:
        """Build the package, then what is generated."""
        super().run()
        target = "." if self.editable_mode else self.build_lib
        # Debian has no grpcio-tools; its protoc makes what goes with its libraries.
        interpreter = [sys.executable] if find_spec("grpc_tools") else []
        subprocess.run(["packaging/protos", target, *interpreter], check=True)


setup(cmdclass={"build_py": BuildWithProtos})
