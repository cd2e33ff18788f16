"""One module or package a paper: the finished system, importable by name."""
