"""Real clusters beyond the plain one: secured, with ZooKeeper, with separate controllers, large."""
