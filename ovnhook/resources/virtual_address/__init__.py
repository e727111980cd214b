"""Virtual addresses: addresses that several ports may take over from each other. Pure."""
