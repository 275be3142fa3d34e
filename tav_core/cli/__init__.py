"""The command line: a host of the library, as the nodes are."""
