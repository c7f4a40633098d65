"""Pages for people to look at: the results of a run over files, and a training run."""
