"""What is read on demand, in the background, beside the watches."""
