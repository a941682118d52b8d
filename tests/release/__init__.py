"""`make release`: what a cluster of one's own is installed from. It changes no file of the repository."""
