"""What people and machines read: text for terminals, JSON, progress. The only users of rich."""
