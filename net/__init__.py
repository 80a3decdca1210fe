"""Shared by every client and server of this process: certificates, proxies, bounds on bodies, unpacking."""
