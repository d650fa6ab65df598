"""The lab: hosts with systemd, sshd and real Kafka, and what the whole daemon does there."""
