"""What players and retrievers share: chat endpoints, models at hand, retries, cached replies, prices, clean texts."""
