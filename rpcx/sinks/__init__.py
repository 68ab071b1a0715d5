"""What a call passes through between the proxy and the channel."""
