"""pip, for downloads only: `python -I -m holdfast_host.build.packages.pip_sandbox ARGUMENTS...`.

It resolves for the Python that guests run on, not for the one that runs it; and it starts no program, whatever a
package asks for: what has to be built is refused, because building runs the package's code.
"""

from __future__ import annotations

import resource
import runpy
import sys
from typing import Any, Final

# The operating system and processor of a component, as CPython's build for it names them.
GUEST: Final = {
    "implementation_name": "cpython", "implementation_version": "3.14.0", "os_name": "posix",
    "platform_machine": "wasm32", "platform_python_implementation": "CPython", "platform_release": "0.0.0",
    "platform_system": "wasi", "platform_version": "0.0.0", "python_full_version": "3.14.0", "python_version": "3.14",
    "sys_platform": "wasi",
}  # fmt: skip

DATA_BYTES_MAX: Final = 1 << 30  # it takes 0.1 GiB for the largest of projects

# Raised by the interpreter itself before any of these happens, and not to be taken back once installed.
_STARTS: Final = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty", "pty.spawn"}
)


def _refuse_programs(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _STARTS:
        raise PermissionError("no program is started while packages are downloaded")


def main() -> None:
    """Become pip, within a limit of memory: it reads what it finds in wheels of strangers whole."""
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES_MAX, DATA_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from pip._vendor.packaging import markers  # its one source of what a requirement's markers are compared with

    markers.default_environment = lambda: dict(GUEST)  # type: ignore[assignment,return-value]
    sys.addaudithook(_refuse_programs)
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
