"""The control service: subnets, routers, leases and ports over gRPC. It holds nothing that a restart would lose."""
