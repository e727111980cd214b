"""The command ``ovnhook``: one module for each noun, all clients of the control service."""
