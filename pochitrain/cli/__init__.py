"""Parsing of arguments. Each command imports what it runs inside its handler."""
