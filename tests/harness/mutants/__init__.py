"""Hosts with one mechanism taken out, to show that a guarantee's test would notice; and disks that obey a test.

The product has no switch for any of this: `host` runs `holdfast serve` with another program for its workers, and
`worker` patches one seam of the real worker before it runs it.
"""
