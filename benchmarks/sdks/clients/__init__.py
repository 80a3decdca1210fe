"""One create per official client, with its defaults: only the address and the key are given.

Run by `python -m benchmarks.sdks` in an environment of their own, which has the clients and not this project:

    python -I benchmarks/sdks/clients/<name>.py BASE_URL

Each script makes one call that buys one video, and ends as the client ends.
"""
