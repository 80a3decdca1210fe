"""What a run's user receives: the card and the video."""
