"""From an upload to every worker: the queue for the compiler, the files on disk, the switch."""
