"""How a client speaks to a server: REST or gRPC."""
