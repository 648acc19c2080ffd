"""A double of TF Serving for development: one store of models, two protocols."""
