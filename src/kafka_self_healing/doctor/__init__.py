"""`doctor`: whether every access that healing will need is there, before anything may act."""
