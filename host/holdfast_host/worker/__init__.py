"""The process that owns shards: mailboxes, turns, the output gate and commits."""
