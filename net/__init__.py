"""What every client and server of this process shares: certificates and proxies, bounds on bodies, packed bodies."""
