"""The loop: dialogs wait for a question, for an answer, for being observed; each player drains its queue."""
