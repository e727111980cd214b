"""The agent of a hypervisor: answers the hook while warm, and mends what the hook could not do."""
