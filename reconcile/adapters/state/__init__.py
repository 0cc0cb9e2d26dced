"""The project's own folder, `.reconcile/`: memory, journals, locks and notes."""
