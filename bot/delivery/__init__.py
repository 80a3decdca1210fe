"""What a run's user gets: the card, the video."""
