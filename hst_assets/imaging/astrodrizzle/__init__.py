"""AstroDrizzle in a child process: its scratch folder, parameters and header cards."""
