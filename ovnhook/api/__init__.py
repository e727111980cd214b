"""The API: the protos, and beside them the code that packaging/protos makes of them."""
