"""What a model is made of, found out before a GPU is taken: run by a short Job in the service's own namespace.

The Job reads config.json and the headers of the weights, with the user's own token or claim, and hands a summary back
as its termination message. So the operator needs neither the token, nor the hub, nor access to Secrets.
"""
