"""Who a request comes from, and what that lets it do."""
