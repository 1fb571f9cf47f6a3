"""A model within a time budget (`pochi fit`, strategy=budget): measure, plan, compare, train."""
