"""What both ends share: contracts and models, no implementation."""
