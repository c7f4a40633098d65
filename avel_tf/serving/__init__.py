"""The web application `avel serve`: a page and an HTTP API over one model."""
