"""Statistics on arrays: intervals over processes, spread, growth and crossovers."""
