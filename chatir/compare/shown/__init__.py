"""What `chatir runs` and `chatir show` print: the runs of a folder, one run, its dialogs. Nothing is changed."""
