"""The protocols that we speak. Each package stands alone: errors, clock, secret, stdlib."""
