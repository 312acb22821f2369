"""Images with labels: where they come from, how they are read, what is drawn for each, and how they become batches."""
