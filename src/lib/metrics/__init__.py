"""What is measured: multiply-adds, accuracy, intervals over seeds."""
