"""What is of the store on PostgreSQL alone; what every store promises is in tests/contract/stores."""
