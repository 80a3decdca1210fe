"""replicate, 1 and 2: both read these variables."""

import os
import sys

os.environ |= {"REPLICATE_API_TOKEN": "test-key", "REPLICATE_BASE_URL": sys.argv[1]}
import replicate

replicate.predictions.create(version="bytedance/seedance-1-lite", input={"prompt": "A lighthouse"})
