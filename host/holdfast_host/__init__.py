"""The Holdfast host: supervisor, fronts and workers, and the command line.

Read `core` first, then follow a call: `front` -> `wire` -> `worker` -> `sandbox` and `storage`.
"""

__version__ = "0.1.0"
