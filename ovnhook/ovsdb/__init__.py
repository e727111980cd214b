"""OVSDB client: transactions, replicas, snapshots, TLS. Nothing else imports ``ovs``."""
