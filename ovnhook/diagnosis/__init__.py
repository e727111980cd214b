"""Problems of a cloud and differences on a host, from observed values. Pure."""
