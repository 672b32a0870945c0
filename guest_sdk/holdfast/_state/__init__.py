"""`ctx.storage`: keys and values, blocks that can be undone, scans, and the alarm."""
