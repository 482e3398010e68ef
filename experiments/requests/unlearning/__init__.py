"""unlearn.py's work: settings, the opened model, the job, what it writes."""
