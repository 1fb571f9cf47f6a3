"""The texts of the pages in Japanese, by the English ones that stand in templates and code."""

JAPANESE = {}
