"""The conversation's items, and edits of them."""
