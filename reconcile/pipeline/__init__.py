"""The main road: look at the stores, plan, execute, and keep account."""
