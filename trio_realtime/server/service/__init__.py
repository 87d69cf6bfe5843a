"""Which service a session connects to: settings, then the environment, then the agent spec."""
