"""The commands of `chatir`, one a file: parse, call, print."""
