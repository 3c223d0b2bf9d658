"""Where a model finds room, in which precision it computes, and what the errors of a GPU mean."""
