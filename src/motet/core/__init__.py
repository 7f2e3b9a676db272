"""The ground floor: what travels between rooms, what a component is, errors, checks, seeds."""
