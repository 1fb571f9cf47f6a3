"""Pages about runs, searches and multiruns, from the files in their directories."""
