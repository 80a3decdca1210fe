"""The vendors' own clients against our doubles, and what they send beside what we send: `make conformance`.

One file per vendor, named like its module in `providers/vendors/` and its double in `simulator/providers/vendors/`. It
runs in an environment that has the clients of `requirements.txt` and nothing of ours, so it imports only them and the
standard library. It defines

    KEY                               the key that it gives to its client, and that the double accepts
    MODEL, INPUT                      what is ordered: the vendor's name of the model; prompt and further inputs
    walk(base_url) -> list[str]       buys a video of the double at this base URL, fetches it, and asks for what there
                                      is not; returns what was done; raises AssertionError where the double is wrong
    sdk_create(base_url, fields)      sends the client's create for an order of ours; fields: `run_id`, `model`,
                                      `prompt`, `params`, `callback_url` (None in one of two orders). How the client
                                      ends does not matter: the answer is an HTTP 500

The files in `litellm/` are a second opinion on the same doubles and modules; they may lack `sdk_create`.
Where a client sends something else than our module does, `differences.toml` gives the reason.
"""
