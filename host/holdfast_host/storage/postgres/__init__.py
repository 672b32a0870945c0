"""The Store on PostgreSQL. The only importer of psycopg."""
