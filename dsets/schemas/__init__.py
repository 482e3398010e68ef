"""One class a schema of data sets: how its rows look, and how they become records."""
