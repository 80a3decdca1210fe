"""Read media files by their structure: whole clips or not. Pure except for reading the file."""
