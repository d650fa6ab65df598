"""An embedded three-node Kafka cluster (real brokers as local processes) and its load.

Nothing is imported here: `supervisorctl` is run for every look at a node and must start fast.
"""
