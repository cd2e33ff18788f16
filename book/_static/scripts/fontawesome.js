// Stands in for the theme's 1.5 MB script: the icons come from the web fonts beside it.
