"""The text model: prompt templates in, checked values out."""
