"""The project's own folder, `.reconcile/`: state, journals, locks and outbox notes."""
