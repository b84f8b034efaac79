"""What the tests that drive real programs share: private engines, archives, raw HTTP, and the host's state."""
