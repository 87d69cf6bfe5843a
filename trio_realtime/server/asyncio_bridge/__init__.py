"""Sessions in a program that runs on asyncio: one trio thread serves all of them."""
