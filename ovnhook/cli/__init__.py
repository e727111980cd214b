"""The command ``ovnhook``: one file for each noun, all of them clients of the control service."""
