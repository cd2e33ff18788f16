"""House style, plots and widgets that work without a kernel."""
