"""What there is not where actors run, and the sentences that say so."""
