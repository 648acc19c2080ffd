"""What an exported graph computes beside the model: rows in, answers out."""
