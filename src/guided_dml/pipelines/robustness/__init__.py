"""A trained network in; what shifted, strange and unseen images do to it out."""
