"""HTML reports: results of a run over files, training runs, data set audits."""
