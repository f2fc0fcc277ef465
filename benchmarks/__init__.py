"""Programs that measure this project against its peers and its limits; see ``README.md``."""
