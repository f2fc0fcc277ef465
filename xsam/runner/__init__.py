"""One run from start to finish, and the workers that take runs."""
