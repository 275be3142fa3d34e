"""The nodes that load, compare, compose and measure videos."""
