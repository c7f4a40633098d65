"""The losses, one per file; all take logits, targets of every second and valid as sample weight."""
