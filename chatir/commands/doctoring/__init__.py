"""What is installed here, what can run, and the line that mends each gap; no network, no secret, no error."""
