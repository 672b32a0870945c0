"""What the hosts of a store share beside what instances store: functions, secrets, tokens, quarantine, components."""
