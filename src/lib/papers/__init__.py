"""One module or package a paper: the finished system, importable by name.

They share `official`, for weights of authors' releases, and `shipped`, for ours.
"""
