"""Doubles of video providers with protocols of their own, over the same books, clips and faults."""
