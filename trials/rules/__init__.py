"""What decides: pure functions over frozen facts, with no clock, no queries and no Django."""
