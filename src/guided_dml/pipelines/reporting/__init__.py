"""The scoreboard of a comparison in; its tables, figures and atlas out."""
