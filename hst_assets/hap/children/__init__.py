"""The child processes of HAP: what imports drizzlepac's HAP code, a piece at a time."""
