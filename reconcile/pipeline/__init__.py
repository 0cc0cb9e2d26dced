"""The main path: reads the stores, plans, executes, and keeps the journal."""
