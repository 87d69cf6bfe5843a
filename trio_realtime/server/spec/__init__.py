"""Agent specs: an agent and the settings of its sessions as data, in Python or in a TOML file."""
