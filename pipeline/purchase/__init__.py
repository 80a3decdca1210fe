"""The one paid request and what follows from its answer: submission, answer files, matching, reconcile, audit."""
