"""A local server with TF Serving's APIs, for development; not TF Serving."""
