;;@core-fields
(table 30000 funcref)
