"""JSON Schemas of tool parameters, and conversion of the model's JSON to Python values."""
