"""Training the last layer on features of a backbone that stays as it is."""
