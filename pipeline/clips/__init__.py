"""From a job to a stored clip: rendering, the folder, the bucket, and maintenance of stored clips."""
