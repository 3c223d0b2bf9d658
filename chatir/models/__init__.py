"""What players and retrievers share: cleaning of replies, loading and running of models."""
