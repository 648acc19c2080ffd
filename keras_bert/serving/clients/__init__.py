"""The protocols of the client: REST and gRPC."""
