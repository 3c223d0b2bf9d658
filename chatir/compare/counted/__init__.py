"""What is counted of runs: target ranks and curves, agreement of answerers, near-duplicate questions."""
