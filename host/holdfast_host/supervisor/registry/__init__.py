"""What is deployed, durably: functions, versions, type numbers, and the rules of what may follow what."""
