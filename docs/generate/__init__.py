"""The pages of the site that are made from the code, and the hooks by which mkdocs gets them (``make docs``)."""
