"""What an exported graph computes around the model: encoding and answers."""
