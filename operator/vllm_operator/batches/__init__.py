"""InferenceBatch: the order of its steps, from the check of the input to the output that is made of the answers."""
