"""Class vocabularies of the backbones, and the table of things that are both seen and heard."""
