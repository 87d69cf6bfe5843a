"""What delivers session events: the bus, channels, paced audio and hooks."""
