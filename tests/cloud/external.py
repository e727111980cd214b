"""The network outside the cloud, and the way of the default router there."""

from __future__ import annotations

from tests.cloud.world import World

ADDRESS = "203.0.113.10"
OUTSIDE = "203.0.113.254"
FLOATING = "203.0.113.20"


def set_external_gateway(world: World) -> None:
    """Give the default router an external gateway, and wait until a host is active for it."""
    external = ("--physical-network", "external", "--address", f"{ADDRESS}/24", "--next-hop", OUTSIDE)
    world.ovnhook("router", "set", "gateway", *external)
    world.wait_for(lambda: "active gateway    control" in world.ovnhook("router", "show", "gateway"), "a gateway")
