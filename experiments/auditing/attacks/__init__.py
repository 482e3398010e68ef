"""One small file an attack or a family of attacks; each is a function `Audited -> Outcome`, registered by name."""
