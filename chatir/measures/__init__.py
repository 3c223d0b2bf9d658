"""Arithmetic without models: what is counted in dialogs, and what ranks say."""
