"""Inventory reports of Storage Insights: what a bucket held when the report was made."""
