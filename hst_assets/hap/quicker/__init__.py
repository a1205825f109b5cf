"""Parts of drizzlepac 3.11's HAP code that are done in less time, with the same result."""
