"""Argument handling only; each command imports what it runs inside its handler."""
