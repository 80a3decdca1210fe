"""What can be wrong with a template: one rule for each kind of mistake."""
