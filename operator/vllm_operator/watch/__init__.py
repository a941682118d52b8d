"""What is watched, and what the watches have shown."""
