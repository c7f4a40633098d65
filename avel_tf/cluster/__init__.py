"""Runs on a Ray cluster: extraction and inference of more files than one machine can process."""
