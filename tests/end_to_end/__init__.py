"""Real mail servers, asked by real clients: what is on the wire."""
