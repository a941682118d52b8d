"""The kubectl plugin as archives that bring all their packages along, and krew's manifest of them."""
