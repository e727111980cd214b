"""The control service: subnets, leases and ports over gRPC. It holds nothing that a restart would lose."""
