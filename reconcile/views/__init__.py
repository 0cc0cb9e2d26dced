"""What people and machines read: text for terminals, JSON, pages, progress. The only users of rich and jinja2."""
