"""How a call is carried out: permission, execution and result."""
