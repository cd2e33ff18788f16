"""Building blocks used by two chapters or more; they import nothing else of ours."""
