"""A module a part: ``measure()`` returns Markdown."""
